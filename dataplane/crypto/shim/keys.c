/* Managers, and the expansion of keys. */
#include "manager.h"

#include <stdlib.h>
#include <string.h>

#define LINE 64
#define MAX_HASH_BLOCK 128
#define CHACHA_KEY 32
#define AEAD_NONCE 12
#define DES_KEY 8
#define GCM_ROUND_KEYS 240

/* AES-GCM by key length. */
static void expand_gcm(IMB_MGR *library, const uint8_t *key, size_t len, void *out)
{
        switch (len) {
        case IMB_KEY_128_BYTES:
                IMB_AES128_GCM_PRE(library, key, out);
                break;
        case IMB_KEY_192_BYTES:
                IMB_AES192_GCM_PRE(library, key, out);
                break;
        default:
                IMB_AES256_GCM_PRE(library, key, out);
                break;
        }
}

/* How much of its structure the library fills in on this processor: the powers of H that it uses. */
static size_t gcm_extent(IMB_MGR *library, size_t key_len)
{
        static const uint8_t key[32];
        struct gcm_key_data trials[2];
        const uint8_t *a = (const uint8_t *) &trials[0], *b = (const uint8_t *) &trials[1];
        size_t size = sizeof(trials[0]);

        memset(&trials[0], 0x00, size);
        memset(&trials[1], 0xff, size);
        expand_gcm(library, key, key_len, &trials[0]);
        expand_gcm(library, key, key_len, &trials[1]);
        while (size > 0 && a[size - 1] != b[size - 1])
                size--;
        return size;
}

static size_t aes_index(size_t key_len)
{
        return (key_len - IMB_KEY_128_BYTES) / 8;
}

static IMB_MGR *library_new(const char **error)
{
        IMB_ARCH arch = IMB_ARCH_NONE;
        IMB_MGR *library = alloc_mb_mgr(0);

        *error = "out of memory";
        if (library == NULL)
                return NULL;
        init_mb_mgr_auto(library, &arch);
        if (arch == IMB_ARCH_NONE || imb_get_errno(library) != 0 || !(library->features & IMB_FEATURE_AESNI)) {
                *error = imb_get_errno(library) != 0 ? imb_get_strerror(imb_get_errno(library))
                                                     : "the processor has no AES instructions";
                free_mb_mgr(library);
                return NULL;
        }
        return library;
}

emb_manager *emb_manager_new(const char **error)
{
        emb_manager *manager;
        IMB_MGR *library = library_new(error);

        if (library == NULL)
                return NULL;
        manager = calloc(1, sizeof(*manager));
        if (manager == NULL) {
                free_mb_mgr(library);
                return NULL;
        }
        manager->library = library;
        for (size_t i = 0; i < AES_KEY_LENGTHS; i++)
                manager->gcm_size[i] = gcm_extent(library, IMB_KEY_128_BYTES + 8 * i);
        *error = NULL;
        return manager;
}

void emb_manager_free(emb_manager *manager)
{
        free_mb_mgr(manager->library);
        free(manager);
}

const char *emb_version(void)
{
        return imb_get_version_str();
}

const char *emb_arch(const emb_manager *manager)
{
        switch ((IMB_ARCH) manager->library->used_arch) {
#if IMB_VERSION_NUM < 0x20000
        case IMB_ARCH_AVX:
                return "AVX";
#endif
        case IMB_ARCH_SSE:
                return "SSE";
        case IMB_ARCH_AVX2:
                return "AVX2";
        case IMB_ARCH_AVX512:
                return (manager->library->features & IMB_FEATURE_VAES) ? "AVX-512 with VAES" : "AVX-512";
        default:
                return "unknown";
        }
}

static int is_aes_key(size_t len)
{
        return len == IMB_KEY_128_BYTES || len == IMB_KEY_192_BYTES || len == IMB_KEY_256_BYTES;
}

/* The place of a hash among those with bursts, or -1. */
static int burst_hash(int mac)
{
        switch (mac) {
        case EMB_SHA1:
                return 0;
        case EMB_SHA256:
                return 1;
        case EMB_SHA384:
                return 2;
        case EMB_SHA512:
                return 3;
        default:
                return -1;
        }
}

/* Bursts where the library has them, else jobs. */
static uint8_t call_with_mac(const struct emb_material *material)
{
        int hash = burst_hash(material->mac), cipher;

        if (hash < 0 || material->cipher == EMB_DES || material->cipher == EMB_3DES)
                return CALL_JOB;
        cipher = material->cipher == EMB_NULL ? 0 : 1 + (int) aes_index(material->key_len);
        if (material->cipher == EMB_AES_CTR)
                cipher += AES_KEY_LENGTHS;
        return (uint8_t) (CALL_BURST + 4 * cipher + hash);
}

static int is_mac(const struct emb_material *material)
{
        size_t block = material->mac == EMB_SHA384 || material->mac == EMB_SHA512 ? 128 : 64;

        return (material->mac == EMB_MD5 || burst_hash(material->mac) >= 0) && material->mac_key_len <= block;
}

uint8_t emb_call(const struct emb_material *material)
{
        size_t len = material->key_len;

        switch (material->cipher) {
        case EMB_AES_GCM_8:
        case EMB_AES_GCM_12:
        case EMB_AES_GCM:
                return is_aes_key(len) ? (uint8_t) (CALL_GCM_128 + aes_index(len)) : CALL_NONE;
        case EMB_AES_GMAC:
                return is_aes_key(len) ? (uint8_t) (CALL_GMAC_128 + aes_index(len)) : CALL_NONE;
        case EMB_CHACHA20_POLY1305:
                return len == CHACHA_KEY ? CALL_JOB : CALL_NONE;
        case EMB_AES_CBC:
        case EMB_AES_CTR:
                return is_aes_key(len) && is_mac(material) ? call_with_mac(material) : CALL_NONE;
        case EMB_DES:
                return len == DES_KEY && is_mac(material) ? CALL_JOB : CALL_NONE;
        case EMB_3DES:
                return len == 3 * DES_KEY && is_mac(material) ? CALL_JOB : CALL_NONE;
        case EMB_NULL:
                return len == 0 && is_mac(material) ? call_with_mac(material) : CALL_NONE;
        default:
                return CALL_NONE;
        }
}

/* Bytes of a hash's state, in whole 16. */
static size_t state_size(int mac)
{
        switch (mac) {
        case EMB_NO_MAC:
                return 0;
        case EMB_MD5:
                return 16;
        case EMB_SHA1: /* 20 */
        case EMB_SHA256:
                return 32;
        default:
                return 64;
        }
}

/* Bytes of the schedule that encrypts, in whole 16. */
static size_t cipher_size(const struct emb_material *material)
{
        size_t keys = material->key_len / DES_KEY;

        switch (material->cipher) {
        case EMB_NULL:
                return 0;
        case EMB_DES:
        case EMB_3DES: /* and three pointers */
                return keys * IMB_DES_KEY_SCHED_SIZE + (keys == 1 ? 0 : 32);
        case EMB_CHACHA20_POLY1305:
                return CHACHA_KEY;
        default:
                return 16 * (material->key_len / 4 + 7);
        }
}

/* The MAC's states lie between the schedules, so that a packet of either direction needs one stretch of them. */
static struct etm_schedule etm_layout(const struct emb_material *material)
{
        size_t cipher = cipher_size(material), state = state_size(material->mac);
        struct etm_schedule layout = { .encrypt = sizeof(layout), .key_len = (uint8_t) material->key_len };

        layout.inner = (uint16_t) (layout.encrypt + cipher);
        layout.outer = (uint16_t) (layout.inner + state);
        layout.decrypt = layout.encrypt;
        layout.size = (uint32_t) (layout.outer + state);
        if (material->cipher == EMB_AES_CBC) {
                layout.decrypt = (uint16_t) layout.size;
                layout.size += (uint32_t) cipher;
        }
        return layout;
}

size_t emb_schedule_size(const emb_manager *manager, const struct emb_material *material)
{
        if (emb_call(material) < CALL_JOB)
                return manager->gcm_size[aes_index(material->key_len)];
        return etm_layout(material).size;
}

/* Of `len` bytes from `at` on. */
static uint64_t lines(size_t at, size_t len)
{
        uint64_t mask = 0;

        for (size_t line = at / LINE; line < (at + len + LINE - 1) / LINE && line < 64; line++)
                mask |= (uint64_t) 1 << line;
        return mask;
}

/* Powers of H stand in descending order, so that a short packet needs the end of their table; where they come with
 * a second table of as many products, it needs the end of both. */
static uint64_t gcm_lines(const struct emb_material *material, size_t size)
{
        size_t used = 16 * 16;
        uint64_t mask;

        if (size <= 8 * LINE)
                return lines(0, size);
        mask = lines(0, cipher_size(material)) | lines(size - used, used);
#if IMB_VERSION_NUM >= 0x20000
        mask |= lines((size + GCM_ROUND_KEYS) / 2 - used, used);
#endif
        return mask;
}

struct emb_lines emb_schedule_lines(const emb_manager *manager, const struct emb_material *material)
{
        struct etm_schedule layout;
        struct emb_lines mask;

        if (emb_call(material) < CALL_JOB) {
                mask.seal = gcm_lines(material, emb_schedule_size(manager, material));
                mask.open = mask.seal;
                return mask;
        }
        layout = etm_layout(material);
        mask.seal = lines(0, layout.decrypt == layout.encrypt ? layout.size : layout.decrypt);
        mask.open = layout.decrypt == layout.encrypt
                            ? mask.seal
                            : lines(0, sizeof(layout)) | lines(layout.inner, layout.size - layout.inner);
        return mask;
}

static void expand_aes(IMB_MGR *library, const struct emb_material *material, uint8_t *encrypt, uint8_t *decrypt)
{
        switch (material->key_len) {
        case IMB_KEY_128_BYTES:
                IMB_AES_KEYEXP_128(library, material->key, encrypt, decrypt);
                break;
        case IMB_KEY_192_BYTES:
                IMB_AES_KEYEXP_192(library, material->key, encrypt, decrypt);
                break;
        default:
                IMB_AES_KEYEXP_256(library, material->key, encrypt, decrypt);
                break;
        }
}

/* Both directions encrypt the counter; nobody wants the other schedule. */
static void expand_aes_ctr(IMB_MGR *library, const struct emb_material *material, uint8_t *encrypt)
{
        uint8_t unused[15 * 16] __attribute__((aligned(16)));

        expand_aes(library, material, encrypt, unused);
        memset(unused, 0, sizeof(unused));
        __asm__ volatile("" : : "r"(unused) : "memory"); /* keep the wipe */
}

/* One schedule serves both directions. Of three keys the library wants pointers, which come first. */
static void expand_des(IMB_MGR *library, const struct emb_material *material, uint8_t *out)
{
        size_t keys = material->key_len / DES_KEY;
        uint8_t *schedule = keys == 1 ? out : out + 32;
        const void **pointers = (const void **) out;

        for (size_t i = 0; i < keys; i++) {
                IMB_DES_KEYSCHED(library, (uint64_t *) (schedule + i * IMB_DES_KEY_SCHED_SIZE), material->key + i * DES_KEY);
                if (keys > 1)
                        pointers[i] = schedule + i * IMB_DES_KEY_SCHED_SIZE;
        }
}

static void expand_cipher(IMB_MGR *library, const struct emb_material *material, struct etm_schedule *out)
{
        uint8_t *encrypt = (uint8_t *) out + out->encrypt, *decrypt = (uint8_t *) out + out->decrypt;

        switch (material->cipher) {
        case EMB_AES_CBC:
                expand_aes(library, material, encrypt, decrypt);
                out->mode = IMB_CIPHER_CBC;
                out->iv_len = 16;
                break;
        case EMB_AES_CTR:
                expand_aes_ctr(library, material, encrypt);
                out->mode = IMB_CIPHER_CNTR;
                out->iv_len = 16;
                break;
        case EMB_DES:
        case EMB_3DES:
                expand_des(library, material, encrypt);
                out->mode = material->cipher == EMB_DES ? IMB_CIPHER_DES : IMB_CIPHER_DES3;
                out->iv_len = 8;
                break;
        case EMB_CHACHA20_POLY1305: /* the key is its own schedule; the MAC's key is made of it for each packet */
                memcpy(encrypt, material->key, CHACHA_KEY);
                out->mode = IMB_CIPHER_CHACHA20_POLY1305;
                out->hash = IMB_AUTH_CHACHA20_POLY1305;
                out->iv_len = AEAD_NONCE;
                break;
        default:
                out->mode = IMB_CIPHER_NULL;
                break;
        }
}

/* The hash's state after one block of `pad` with the key. */
static void hash_pad(IMB_MGR *library, const struct emb_material *material, uint8_t pad, uint8_t *state)
{
        uint8_t block[MAX_HASH_BLOCK];

        memset(block, pad, sizeof(block));
        for (size_t i = 0; i < material->mac_key_len; i++)
                block[i] ^= material->mac_key[i];
        switch (material->mac) {
        case EMB_MD5:
                IMB_MD5_ONE_BLOCK(library, block, state);
                break;
        case EMB_SHA1:
                IMB_SHA1_ONE_BLOCK(library, block, state);
                break;
        case EMB_SHA256:
                IMB_SHA256_ONE_BLOCK(library, block, state);
                break;
        case EMB_SHA384:
                IMB_SHA384_ONE_BLOCK(library, block, state);
                break;
        default:
                IMB_SHA512_ONE_BLOCK(library, block, state);
                break;
        }
        memset(block, 0, sizeof(block));
        __asm__ volatile("" : : "r"(block) : "memory"); /* keep the wipe */
}

static uint8_t hash_algorithm(int mac)
{
        switch (mac) {
        case EMB_MD5:
                return IMB_AUTH_MD5;
        case EMB_SHA1:
                return IMB_AUTH_HMAC_SHA_1;
        case EMB_SHA256:
                return IMB_AUTH_HMAC_SHA_256;
        case EMB_SHA384:
                return IMB_AUTH_HMAC_SHA_384;
        default:
                return IMB_AUTH_HMAC_SHA_512;
        }
}

void emb_expand(emb_manager *manager, const struct emb_material *material, void *out)
{
        IMB_MGR *library = manager->library;
        struct etm_schedule *schedule = out;

        if (emb_call(material) < CALL_JOB) {
                struct gcm_key_data whole;

                expand_gcm(library, material->key, material->key_len, &whole);
                memcpy(out, &whole, manager->gcm_size[aes_index(material->key_len)]);
                memset(&whole, 0, sizeof(whole));
                __asm__ volatile("" : : "r"(&whole) : "memory"); /* keep the wipe */
                return;
        }
        *schedule = etm_layout(material);
        expand_cipher(library, material, schedule);
        if (material->mac == EMB_NO_MAC)
                return;
        schedule->hash = hash_algorithm(material->mac);
        hash_pad(library, material, 0x36, (uint8_t *) out + schedule->inner);
        hash_pad(library, material, 0x5c, (uint8_t *) out + schedule->outer);
}
