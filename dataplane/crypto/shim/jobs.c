/* Jobs: AES-GCM and AES-GMAC at once, one after the other; the rest together. */
#include "manager.h"

#define FULL_TAG 16
#define AEAD_NONCE 12

/* AES-GCM: data in place, and the tag to `tag_`. */
#define AES_GCM(direction_, bits_, tag_, tag_len_)                                                                         \
        IMB_AES##bits_##_GCM_##direction_(library, job->key->schedule, &context, job->buffer + job->cipher_at,        \
                                          job->buffer + job->cipher_at, job->cipher_len, job->nonce, job->aad,        \
                                          job->aad_len, tag_, tag_len_)

/* AES-GMAC: additional data and everything up to the tag are authenticated. */
#define GMAC(bits_)                                                                                                    \
        do {                                                                                                           \
                IMB_AES##bits_##_GMAC_INIT(library, schedule, &context, job->nonce, AEAD_NONCE);                       \
                IMB_AES##bits_##_GMAC_UPDATE(library, schedule, &context, job->aad, job->aad_len);                     \
                IMB_AES##bits_##_GMAC_UPDATE(library, schedule, &context, data, len);                                  \
                IMB_AES##bits_##_GMAC_FINALIZE(library, schedule, &context, tag, FULL_TAG);                            \
        } while (0)

/* Both directions make the tag of the same bytes: from the explicit IV, 8 bytes, to the tag. */
static void gmac(IMB_MGR *library, const struct emb_job *job, uint8_t *tag)
{
        struct gcm_context_data context;
        const struct gcm_key_data *schedule = job->key->schedule;
        const uint8_t *data = job->buffer + job->cipher_at - 8;
        size_t len = (size_t) (job->tag_at - job->cipher_at + 8);

        switch (job->key->call) {
        case CALL_GMAC_128:
                GMAC(128);
                break;
        case CALL_GMAC_192:
                GMAC(192);
                break;
        default:
                GMAC(256);
                break;
        }
}

size_t emb_seal(emb_manager *manager, struct emb_job *jobs, size_t count)
{
        IMB_MGR *library = manager->library;
        struct gcm_context_data context;
        struct emb_job *rest[EMB_BATCH];
        size_t others = 0, done = 0;

        for (struct emb_job *job = jobs; job < jobs + count; job++) {
                uint8_t *tag = job->buffer + job->tag_at;

                if (job->status != EMB_PENDING)
                        continue;
                switch (job->key->call) {
                case CALL_NONE:
                        continue;
                case CALL_GCM_128:
                        AES_GCM(ENC, 128, tag, job->key->icv_len);
                        break;
                case CALL_GCM_192:
                        AES_GCM(ENC, 192, tag, job->key->icv_len);
                        break;
                case CALL_GCM_256:
                        AES_GCM(ENC, 256, tag, job->key->icv_len);
                        break;
                case CALL_GMAC_128:
                case CALL_GMAC_192:
                case CALL_GMAC_256:
                        gmac(library, job, tag);
                        break;
                default:
                        rest[others++] = job;
                        continue;
                }
                job->status = EMB_OK;
                done++;
        }
        if (others != 0)
                done += etm_seal(manager, rest, others);
        return count - done;
}

size_t emb_open(emb_manager *manager, struct emb_job *jobs, size_t count)
{
        IMB_MGR *library = manager->library;
        struct gcm_context_data context;
        struct emb_job *rest[EMB_BATCH];
        size_t others = 0, done = 0;

        for (struct emb_job *job = jobs; job < jobs + count; job++) {
                uint8_t tag[FULL_TAG];
                int same;

                if (job->status != EMB_PENDING)
                        continue;
                switch (job->key->call) {
                case CALL_NONE:
                        continue;
                case CALL_GCM_128:
                        AES_GCM(DEC, 128, tag, FULL_TAG);
                        break;
                case CALL_GCM_192:
                        AES_GCM(DEC, 192, tag, FULL_TAG);
                        break;
                case CALL_GCM_256:
                        AES_GCM(DEC, 256, tag, FULL_TAG);
                        break;
                case CALL_GMAC_128:
                case CALL_GMAC_192:
                case CALL_GMAC_256:
                        gmac(library, job, tag);
                        break;
                default:
                        rest[others++] = job;
                        continue;
                }
                same = same_tag(tag, job->buffer + job->tag_at, job->key->icv_len);
                job->status = same ? EMB_OK : EMB_FAILED;
                done += (size_t) same;
        }
        if (others != 0)
                done += etm_open(manager, rest, others);
        return count - done;
}

int emb_job_size_matches(size_t size)
{
        return size == sizeof(struct emb_job);
}
