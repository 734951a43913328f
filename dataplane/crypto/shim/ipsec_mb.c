#include "ipsec_mb.h"

#include <intel-ipsec-mb.h>
#include <string.h>

#define AES_ROUND_KEYS 15
#define MAX_HASH_BLOCK 128
#define MAX_HASH_STATE 64
#define CHACHA_KEY 32
#define AEAD_NONCE 12

/* What a cipher and MAC job points at. */
struct emb_etm_key {
        union {
                struct {
                        uint8_t encrypt[AES_ROUND_KEYS][16];
                        uint8_t decrypt[AES_ROUND_KEYS][16];
                } aes;
                struct {
                        uint64_t schedule[3][IMB_DES_KEY_SCHED_SIZE / sizeof(uint64_t)];
                        const void *ede[3];
                } des;
                uint8_t chacha[CHACHA_KEY];
        } cipher;
        uint8_t inner[MAX_HASH_STATE]; /* the hash's state after key XOR ipad */
        uint8_t outer[MAX_HASH_STATE];
        const void *encrypt;
        const void *decrypt;
        uint64_t key_len;
        uint64_t iv_len;
        IMB_CIPHER_MODE mode;
        IMB_HASH_ALG hash;
} __attribute__((aligned(64)));

emb_manager *emb_manager_new(const char **error)
{
        IMB_ARCH arch = IMB_ARCH_NONE;
        IMB_MGR *manager = alloc_mb_mgr(0);

        *error = "out of memory";
        if (manager == NULL)
                return NULL;
        init_mb_mgr_auto(manager, &arch);
        if (arch == IMB_ARCH_NONE || imb_get_errno(manager) != 0 || !(manager->features & IMB_FEATURE_AESNI)) {
                *error = imb_get_errno(manager) != 0 ? imb_get_strerror(imb_get_errno(manager))
                                                     : "the processor has no AES instructions";
                free_mb_mgr(manager);
                return NULL;
        }
        *error = NULL;
        return manager;
}

void emb_manager_free(emb_manager *manager)
{
        free_mb_mgr(manager);
}

const char *emb_version(void)
{
        return imb_get_version_str();
}

const char *emb_arch(const emb_manager *manager)
{
        switch ((IMB_ARCH) manager->used_arch) {
#if IMB_VERSION_NUM < 0x20000
        case IMB_ARCH_AVX:
                return "AVX";
#endif
        case IMB_ARCH_SSE:
                return "SSE";
        case IMB_ARCH_AVX2:
                return "AVX2";
        case IMB_ARCH_AVX512:
                return (manager->features & IMB_FEATURE_VAES) ? "AVX-512 with VAES" : "AVX-512";
        default:
                return "unknown";
        }
}

int emb_job_sizes_match(size_t gcm, size_t etm)
{
        return gcm == sizeof(struct emb_gcm_job) && etm == sizeof(struct emb_etm_job);
}

size_t emb_gcm_key_size(void)
{
        return sizeof(emb_gcm_key);
}

size_t emb_etm_key_size(void)
{
        return sizeof(emb_etm_key);
}

void emb_gcm_expand(emb_manager *manager, emb_gcm_key *out, const uint8_t *key, size_t len)
{
        switch (len) {
        case IMB_KEY_128_BYTES:
                IMB_AES128_GCM_PRE(manager, key, out);
                break;
        case IMB_KEY_192_BYTES:
                IMB_AES192_GCM_PRE(manager, key, out);
                break;
        default:
                IMB_AES256_GCM_PRE(manager, key, out);
                break;
        }
}

static int expand_aes(emb_manager *manager, emb_etm_key *out, const uint8_t *key, size_t len)
{
        switch (len) {
        case IMB_KEY_128_BYTES:
                IMB_AES_KEYEXP_128(manager, key, out->cipher.aes.encrypt, out->cipher.aes.decrypt);
                break;
        case IMB_KEY_192_BYTES:
                IMB_AES_KEYEXP_192(manager, key, out->cipher.aes.encrypt, out->cipher.aes.decrypt);
                break;
        case IMB_KEY_256_BYTES:
                IMB_AES_KEYEXP_256(manager, key, out->cipher.aes.encrypt, out->cipher.aes.decrypt);
                break;
        default:
                return -1;
        }
        out->encrypt = out->cipher.aes.encrypt;
        out->decrypt = out->cipher.aes.decrypt;
        out->iv_len = 16;
        out->mode = IMB_CIPHER_CBC;
        return 0;
}

/* Both directions encrypt the counter. */
static int expand_aes_ctr(emb_manager *manager, emb_etm_key *out, const uint8_t *key, size_t len)
{
        if (expand_aes(manager, out, key, len) != 0)
                return -1;
        out->decrypt = out->encrypt;
        out->mode = IMB_CIPHER_CNTR;
        return 0;
}

/* The key is its own schedule; the MAC's key is made of it for each packet. */
static int expand_chacha(emb_etm_key *out, const uint8_t *key, size_t len)
{
        if (len != CHACHA_KEY)
                return -1;
        memcpy(out->cipher.chacha, key, len);
        out->encrypt = out->cipher.chacha;
        out->decrypt = out->cipher.chacha;
        out->iv_len = AEAD_NONCE;
        out->mode = IMB_CIPHER_CHACHA20_POLY1305;
        out->hash = IMB_AUTH_CHACHA20_POLY1305;
        return 0;
}

/* One schedule serves both directions. */
static int expand_des(emb_manager *manager, emb_etm_key *out, const uint8_t *key, size_t len)
{
        size_t keys = len / 8;

        if (len != 8 && len != 24)
                return -1;
        for (size_t i = 0; i < keys; i++) {
                IMB_DES_KEYSCHED(manager, out->cipher.des.schedule[i], key + 8 * i);
                out->cipher.des.ede[i] = out->cipher.des.schedule[i];
        }
        out->encrypt = keys == 1 ? (const void *) out->cipher.des.schedule[0] : (const void *) out->cipher.des.ede;
        out->decrypt = out->encrypt;
        out->iv_len = 8;
        out->mode = keys == 1 ? IMB_CIPHER_DES : IMB_CIPHER_DES3;
        return 0;
}

static int expand_cipher(emb_manager *manager, emb_etm_key *out, int cipher, const uint8_t *key, size_t len)
{
        out->key_len = len;
        switch (cipher) {
        case EMB_NULL:
                out->mode = IMB_CIPHER_NULL;
                return 0;
        case EMB_DES:
        case EMB_3DES:
                return expand_des(manager, out, key, len);
        case EMB_AES_CBC:
                return expand_aes(manager, out, key, len);
        case EMB_AES_CTR:
                return expand_aes_ctr(manager, out, key, len);
        case EMB_CHACHA20_POLY1305:
                return expand_chacha(out, key, len);
        default:
                return -1;
        }
}

/* The hash's state after one block of `pad` with the key. */
static void hash_block(emb_manager *manager, int mac, const uint8_t *block, uint8_t *state)
{
        switch (mac) {
        case EMB_MD5:
                IMB_MD5_ONE_BLOCK(manager, block, state);
                break;
        case EMB_SHA1:
                IMB_SHA1_ONE_BLOCK(manager, block, state);
                break;
        case EMB_SHA256:
                IMB_SHA256_ONE_BLOCK(manager, block, state);
                break;
        case EMB_SHA384:
                IMB_SHA384_ONE_BLOCK(manager, block, state);
                break;
        default:
                IMB_SHA512_ONE_BLOCK(manager, block, state);
                break;
        }
}

static void hash_pad(emb_manager *manager, int mac, size_t block_len, uint8_t pad, const uint8_t *key, size_t len,
                     uint8_t *state)
{
        uint8_t block[MAX_HASH_BLOCK];

        memset(block, pad, block_len);
        for (size_t i = 0; i < len; i++)
                block[i] ^= key[i];
        hash_block(manager, mac, block, state);
        memset(block, 0, sizeof(block));
        __asm__ volatile("" : : "r"(block) : "memory"); /* keep the wipe */
}

static int expand_mac(emb_manager *manager, emb_etm_key *out, int mac, const uint8_t *key, size_t len)
{
        size_t block_len = mac == EMB_SHA384 || mac == EMB_SHA512 ? 128 : 64;

        switch (mac) {
        case EMB_MD5:
                out->hash = IMB_AUTH_MD5;
                break;
        case EMB_SHA1:
                out->hash = IMB_AUTH_HMAC_SHA_1;
                break;
        case EMB_SHA256:
                out->hash = IMB_AUTH_HMAC_SHA_256;
                break;
        case EMB_SHA384:
                out->hash = IMB_AUTH_HMAC_SHA_384;
                break;
        case EMB_SHA512:
                out->hash = IMB_AUTH_HMAC_SHA_512;
                break;
        default:
                return -1;
        }
        if (len > block_len)
                return -1;
        hash_pad(manager, mac, block_len, 0x36, key, len, out->inner);
        hash_pad(manager, mac, block_len, 0x5c, key, len, out->outer);
        return 0;
}

int emb_etm_expand(emb_manager *manager, emb_etm_key *out, int cipher, const uint8_t *key, size_t len, int mac,
                   const uint8_t *mac_key, size_t mac_key_len)
{
        if (expand_cipher(manager, out, cipher, key, len) != 0)
                return -1;
        if ((cipher == EMB_CHACHA20_POLY1305) != (mac == EMB_NO_MAC))
                return -1;
        if (mac == EMB_NO_MAC)
                return 0;
        return expand_mac(manager, out, mac, mac_key, mac_key_len);
}

/* Schedules of many SAs do not stay in the cache: asks for the one after next. */
static inline void gcm_prefetch(const struct emb_gcm_job *job, const struct emb_gcm_job *end)
{
        const char *ahead;

        if (end - job <= 2 || job[2].key == job->key)
                return;
        ahead = (const char *) job[2].key;
        for (size_t at = 0; at < sizeof(emb_gcm_key); at += 64)
                __builtin_prefetch(ahead + at);
}

void emb_gcm_seal(emb_manager *manager, const struct emb_gcm_job *jobs, size_t count)
{
        struct gcm_context_data context;

        for (const struct emb_gcm_job *job = jobs; job < jobs + count; job++) {
                gcm_prefetch(job, jobs + count);
                switch (job->key_len) {
                case IMB_KEY_128_BYTES:
                        IMB_AES128_GCM_ENC(manager, job->key, &context, job->data, job->data, job->len, job->nonce,
                                           job->aad, job->aad_len, job->tag, 16);
                        break;
                case IMB_KEY_192_BYTES:
                        IMB_AES192_GCM_ENC(manager, job->key, &context, job->data, job->data, job->len, job->nonce,
                                           job->aad, job->aad_len, job->tag, 16);
                        break;
                default:
                        IMB_AES256_GCM_ENC(manager, job->key, &context, job->data, job->data, job->len, job->nonce,
                                           job->aad, job->aad_len, job->tag, 16);
                        break;
                }
        }
}

void emb_gcm_open(emb_manager *manager, const struct emb_gcm_job *jobs, size_t count)
{
        struct gcm_context_data context;

        for (const struct emb_gcm_job *job = jobs; job < jobs + count; job++) {
                gcm_prefetch(job, jobs + count);
                switch (job->key_len) {
                case IMB_KEY_128_BYTES:
                        IMB_AES128_GCM_DEC(manager, job->key, &context, job->data, job->data, job->len, job->nonce,
                                           job->aad, job->aad_len, job->tag, 16);
                        break;
                case IMB_KEY_192_BYTES:
                        IMB_AES192_GCM_DEC(manager, job->key, &context, job->data, job->data, job->len, job->nonce,
                                           job->aad, job->aad_len, job->tag, 16);
                        break;
                default:
                        IMB_AES256_GCM_DEC(manager, job->key, &context, job->data, job->data, job->len, job->nonce,
                                           job->aad, job->aad_len, job->tag, 16);
                        break;
                }
        }
}

/* Both directions make the tag of the same bytes. */
void emb_gmac_tag(emb_manager *manager, const struct emb_gcm_job *jobs, size_t count)
{
        struct gcm_context_data context;

        for (const struct emb_gcm_job *job = jobs; job < jobs + count; job++) {
                gcm_prefetch(job, jobs + count);
                switch (job->key_len) {
                case IMB_KEY_128_BYTES:
                        IMB_AES128_GMAC_INIT(manager, job->key, &context, job->nonce, AEAD_NONCE);
                        IMB_AES128_GMAC_UPDATE(manager, job->key, &context, job->aad, job->aad_len);
                        IMB_AES128_GMAC_UPDATE(manager, job->key, &context, job->data, job->len);
                        IMB_AES128_GMAC_FINALIZE(manager, job->key, &context, job->tag, 16);
                        break;
                case IMB_KEY_192_BYTES:
                        IMB_AES192_GMAC_INIT(manager, job->key, &context, job->nonce, AEAD_NONCE);
                        IMB_AES192_GMAC_UPDATE(manager, job->key, &context, job->aad, job->aad_len);
                        IMB_AES192_GMAC_UPDATE(manager, job->key, &context, job->data, job->len);
                        IMB_AES192_GMAC_FINALIZE(manager, job->key, &context, job->tag, 16);
                        break;
                default:
                        IMB_AES256_GMAC_INIT(manager, job->key, &context, job->nonce, AEAD_NONCE);
                        IMB_AES256_GMAC_UPDATE(manager, job->key, &context, job->aad, job->aad_len);
                        IMB_AES256_GMAC_UPDATE(manager, job->key, &context, job->data, job->len);
                        IMB_AES256_GMAC_FINALIZE(manager, job->key, &context, job->tag, 16);
                        break;
                }
        }
}

static void etm_fill(IMB_JOB *job, struct emb_etm_job *from, IMB_CIPHER_DIRECTION direction)
{
        const emb_etm_key *key = from->key;

        job->enc_keys = key->encrypt;
        job->dec_keys = key->decrypt;
        job->key_len_in_bytes = key->key_len;
        job->src = from->data;
        job->dst = from->data + from->cipher_at;
        job->cipher_start_src_offset_in_bytes = from->cipher_at;
        job->msg_len_to_cipher_in_bytes = from->cipher_len;
        job->hash_start_src_offset_in_bytes = from->mac_at;
        job->msg_len_to_hash_in_bytes = from->mac_len;
        job->iv = from->iv;
        job->iv_len_in_bytes = key->iv_len;
        job->auth_tag_output = from->tag;
        job->auth_tag_output_len_in_bytes = from->tag_len;
        if (key->mode == IMB_CIPHER_CHACHA20_POLY1305) {
                job->u.CHACHA20_POLY1305.aad = from->aad;
                job->u.CHACHA20_POLY1305.aad_len_in_bytes = from->aad_len;
        } else {
                job->u.HMAC._hashed_auth_key_xor_ipad = key->inner;
                job->u.HMAC._hashed_auth_key_xor_opad = key->outer;
        }
        job->cipher_mode = key->mode;
        job->cipher_direction = direction;
        job->hash_alg = key->hash;
        job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
        job->user_data = from;
}

static void etm_complete(IMB_JOB *job)
{
        struct emb_etm_job *from = job->user_data;

        from->done = job->status == IMB_STATUS_COMPLETED;
}

/* Rust has checked every length: the library need not. */
static void etm_run(emb_manager *manager, struct emb_etm_job *jobs, size_t count, IMB_CIPHER_DIRECTION direction)
{
        IMB_JOB *done;

        for (struct emb_etm_job *job = jobs; job < jobs + count; job++) {
                etm_fill(IMB_GET_NEXT_JOB(manager), job, direction);
                for (done = IMB_SUBMIT_JOB_NOCHECK(manager); done != NULL; done = IMB_GET_COMPLETED_JOB(manager))
                        etm_complete(done);
        }
        while ((done = IMB_FLUSH_JOB(manager)) != NULL)
                etm_complete(done);
}

void emb_etm_seal(emb_manager *manager, struct emb_etm_job *jobs, size_t count)
{
        etm_run(manager, jobs, count, IMB_DIR_ENCRYPT);
}

void emb_etm_open(emb_manager *manager, struct emb_etm_job *jobs, size_t count)
{
        etm_run(manager, jobs, count, IMB_DIR_DECRYPT);
}
