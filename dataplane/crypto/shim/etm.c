/* A cipher and a MAC, packets side by side in the lanes of the library; ChaCha20-Poly1305 goes the same way. */
#include "manager.h"

#include <string.h>

static int is_aead(const struct etm_schedule *schedule)
{
        return schedule->hash == IMB_AUTH_CHACHA20_POLY1305;
}

/* With a MAC, the high half of the sequence number is authenticated as if it followed the data: it takes the place of
 * the tag, of which those bytes are kept in turn. */
static void swap_tail(struct emb_job *job)
{
        uint8_t *tail = job->buffer + job->tag_at, kept[4];

        memcpy(kept, tail, sizeof(kept));
        memcpy(tail, job->aad, sizeof(kept));
        memcpy(job->aad, kept, sizeof(kept));
}

static void describe(IMB_JOB *to, struct emb_job *job, uint8_t *tag, IMB_CIPHER_DIRECTION direction)
{
        const struct etm_schedule *schedule = job->key->schedule;
        const uint8_t *base = job->key->schedule;

        to->enc_keys = base + schedule->encrypt;
        to->dec_keys = base + schedule->decrypt;
        to->key_len_in_bytes = schedule->key_len;
        to->src = job->buffer;
        to->dst = job->buffer + job->cipher_at;
        to->cipher_start_src_offset_in_bytes = job->cipher_at;
        to->msg_len_to_cipher_in_bytes = job->cipher_len;
        to->iv = job->nonce;
        to->iv_len_in_bytes = schedule->iv_len;
        to->auth_tag_output = tag;
        to->auth_tag_output_len_in_bytes = job->key->icv_len;
        if (is_aead(schedule)) {
                to->hash_start_src_offset_in_bytes = job->cipher_at;
                to->msg_len_to_hash_in_bytes = job->cipher_len;
                to->u.CHACHA20_POLY1305.aad = job->aad;
                to->u.CHACHA20_POLY1305.aad_len_in_bytes = job->aad_len;
        } else {
                if (job->aad_len != 0)
                        swap_tail(job);
                to->hash_start_src_offset_in_bytes = 0;
                to->msg_len_to_hash_in_bytes = (uint64_t) job->tag_at + job->aad_len;
                to->u.HMAC._hashed_auth_key_xor_ipad = base + schedule->inner;
                to->u.HMAC._hashed_auth_key_xor_opad = base + schedule->outer;
        }
        to->cipher_mode = (IMB_CIPHER_MODE) schedule->mode;
        to->cipher_direction = direction;
        to->hash_alg = (IMB_HASH_ALG) schedule->hash;
        to->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
        to->status = IMB_STATUS_BEING_PROCESSED;
        to->user_data = job;
}

/* All packets through the cipher. */
static int cipher_burst(emb_manager *manager, uint32_t count, IMB_CIPHER_DIRECTION direction)
{
        const IMB_JOB *first = &manager->burst[0];

        if (first->cipher_mode == IMB_CIPHER_NULL)
                return 1;
        return IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager->library, manager->burst, count, first->cipher_mode, direction,
                                               (IMB_KEY_SIZE_BYTES) first->key_len_in_bytes) == count;
}

/* All packets through the MAC. */
static int hash_burst(emb_manager *manager, uint32_t count)
{
        return IMB_SUBMIT_HASH_BURST_NOCHECK(manager->library, manager->burst, count, manager->burst[0].hash_alg) ==
               count;
}

/* Jobs of one call, which `manager->burst` describes; whether the library did them all. */
static int run_burst(emb_manager *manager, uint32_t count, IMB_CIPHER_DIRECTION direction)
{
        if (direction == IMB_DIR_ENCRYPT)
                return cipher_burst(manager, count, direction) && hash_burst(manager, count);
        return hash_burst(manager, count) && cipher_burst(manager, count, direction);
}

/* The place for the tag: when sealing, where it belongs. */
static uint8_t *tag_place(emb_manager *manager, struct emb_job *job, size_t at, IMB_CIPHER_DIRECTION direction)
{
        return direction == IMB_DIR_ENCRYPT ? job->buffer + job->tag_at : manager->computed[at];
}

/* Sets the status of a job from what the library says and the tag that it made. */
static size_t conclude(struct emb_job *job, int done, const uint8_t *tag, IMB_CIPHER_DIRECTION direction)
{
        if (direction == IMB_DIR_DECRYPT) {
                if (job->aad_len != 0 && !is_aead(job->key->schedule))
                        swap_tail(job);
                done = same_tag(tag, job->buffer + job->tag_at, job->key->icv_len) & done;
        }
        job->status = done ? EMB_OK : EMB_FAILED;
        return (size_t) done;
}

/* Does the jobs that have the call of the first; leaves the others at the front, and says how many are done. */
static size_t burst(emb_manager *manager, struct emb_job **jobs, size_t *count, IMB_CIPHER_DIRECTION direction)
{
        uint8_t call = jobs[0]->key->call;
        size_t same = 0, left = 0, ok = 0;
        int done;

        for (size_t i = 0; i < *count; i++) {
                struct emb_job *job = jobs[i];

                if (job->key->call != call) {
                        jobs[left++] = job;
                        continue;
                }
                describe(&manager->burst[same], job, tag_place(manager, job, same, direction), direction);
                same++;
        }
        done = run_burst(manager, (uint32_t) same, direction);
        for (size_t i = 0; i < same; i++)
                ok += conclude(manager->burst[i].user_data, done, manager->computed[i], direction);
        *count = left;
        return ok;
}

static void complete(const IMB_JOB *done, size_t *ok, IMB_CIPHER_DIRECTION direction)
{
        *ok += conclude(done->user_data, done->status == IMB_STATUS_COMPLETED, done->user_data2, direction);
}

/* Does what has no burst; leaves the others at the front. */
static size_t single(emb_manager *manager, struct emb_job **jobs, size_t *count, IMB_CIPHER_DIRECTION direction)
{
        IMB_MGR *library = manager->library;
        IMB_JOB *done;
        size_t left = 0, ok = 0;

        for (size_t i = 0; i < *count; i++) {
                struct emb_job *job = jobs[i];
                IMB_JOB *next;

                if (job->key->call != CALL_JOB) {
                        jobs[left++] = job;
                        continue;
                }
                next = IMB_GET_NEXT_JOB(library);
                describe(next, job, tag_place(manager, job, i, direction), direction);
                next->user_data2 = manager->computed[i];
                for (done = IMB_SUBMIT_JOB_NOCHECK(library); done != NULL; done = IMB_GET_COMPLETED_JOB(library))
                        complete(done, &ok, direction);
        }
        while ((done = IMB_FLUSH_JOB(library)) != NULL)
                complete(done, &ok, direction);
        *count = left;
        return ok;
}

static size_t run(emb_manager *manager, struct emb_job **jobs, size_t count, IMB_CIPHER_DIRECTION direction)
{
        size_t ok = single(manager, jobs, &count, direction);

        while (count != 0)
                ok += burst(manager, jobs, &count, direction);
        return ok;
}

size_t etm_seal(emb_manager *manager, struct emb_job **jobs, size_t count)
{
        return run(manager, jobs, count, IMB_DIR_ENCRYPT);
}

size_t etm_open(emb_manager *manager, struct emb_job **jobs, size_t count)
{
        return run(manager, jobs, count, IMB_DIR_DECRYPT);
}
