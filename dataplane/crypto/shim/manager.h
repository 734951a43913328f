/* What the parts of the shim share. */
#ifndef ESPLANADE_MANAGER_H
#define ESPLANADE_MANAGER_H

#include "ipsec_mb.h"

#include <intel-ipsec-mb.h>

#define MAX_TAG 32
#define AES_KEY_LENGTHS 3

struct emb_manager {
        IMB_MGR *library;
        size_t gcm_size[AES_KEY_LENGTHS]; /* bytes of a schedule, by key length */
        IMB_JOB burst[EMB_BATCH];
        uint8_t computed[EMB_BATCH][MAX_TAG];
};

/* Values of `call`. From CALL_BURST on, one for each pair of a cipher and a hash. */
enum {
        CALL_NONE,
        CALL_GCM_128,
        CALL_GCM_192,
        CALL_GCM_256,
        CALL_GMAC_128,
        CALL_GMAC_192,
        CALL_GMAC_256,
        CALL_JOB,  /* one job for cipher and MAC */
        CALL_BURST /* all packets through the cipher, then all through the MAC, or the other way */
};

/* The schedule of a cipher and a MAC: this, then in bytes from its start the parts, of multiples of 16. */
struct etm_schedule {
        uint16_t encrypt;
        uint16_t decrypt;
        uint16_t inner; /* the hash's state after key XOR ipad */
        uint16_t outer;
        uint8_t key_len;
        uint8_t iv_len;
        uint8_t mode; /* IMB_CIPHER_MODE */
        uint8_t hash; /* IMB_HASH_ALG */
        uint32_t size;
};

/* What remains when AES-GCM and AES-GMAC are done; the number of jobs that are EMB_OK then. */
size_t etm_seal(emb_manager *manager, struct emb_job **jobs, size_t count);
size_t etm_open(emb_manager *manager, struct emb_job **jobs, size_t count);

/* Bits in which two runs of bytes of whole 4-byte words differ. */
static inline uint64_t differing(const uint8_t *a, const uint8_t *b, size_t len)
{
        uint64_t different = 0;

        for (size_t at = 0; at < len; at += 4) {
                uint32_t x, y;

                __builtin_memcpy(&x, a + at, 4);
                __builtin_memcpy(&y, b + at, 4);
                different |= x ^ y;
        }
        return different;
}

/* Whether two tags of whole 4-byte words are the same, in constant time; most have 16 bytes. */
static inline int same_tag(const uint8_t *a, const uint8_t *b, size_t len)
{
        uint64_t different = len == 16 ? differing(a, b, 16) : differing(a, b, len);

        __asm__("" : "+r"(different)); /* the compiler must not know that only zero counts */
        return different == 0;
}

#endif
