/*
 * The part of intel-ipsec-mb that Esplanade uses, in types that Rust can declare by hand.
 * What differs between releases 1.3 (Debian 12) and 2.0 (Debian 13) stays behind these functions:
 * structures, macros, and the numbers of enumerations, which 2.0 changes.
 */
#ifndef ESPLANADE_IPSEC_MB_H
#define ESPLANADE_IPSEC_MB_H

#include <stddef.h>
#include <stdint.h>

/* Jobs of one call at most. */
#define EMB_BATCH 64

/* The library's manager and room for a batch. Used by one thread at a time. */
typedef struct emb_manager emb_manager;

/* Our own numbers: those of IKEv2 transforms. */
enum emb_cipher {
        EMB_DES = 2,
        EMB_3DES = 3,
        EMB_NULL = 11,
        EMB_AES_CBC = 12,
        EMB_AES_CTR = 13,
        EMB_AES_GCM_8 = 18,
        EMB_AES_GCM_12 = 19,
        EMB_AES_GCM = 20,
        EMB_AES_GMAC = 21,
        EMB_CHACHA20_POLY1305 = 28
};
enum emb_mac { EMB_NO_MAC = 0, EMB_MD5 = 1, EMB_SHA1 = 2, EMB_SHA256 = 12, EMB_SHA384 = 13, EMB_SHA512 = 14 };

/* What a key is made of. */
struct emb_material {
        int cipher;
        int mac; /* EMB_NO_MAC with an AEAD */
        const uint8_t *key;
        size_t key_len;
        const uint8_t *mac_key; /* no longer than the hash's block */
        size_t mac_key_len;
};

/* What a job needs of its key: the first fields of a Rust structure. */
struct emb_key {
        const void *schedule; /* as emb_expand made it */
        uint8_t call;         /* as emb_call says; 0 for a key of another engine */
        uint8_t icv_len;      /* 8, 12, 16, 24 or 32 bytes */
};

enum emb_status { EMB_PENDING, EMB_OK, EMB_FAILED };

/* One packet, in place. Offsets count from `buffer`, and Rust has checked them. */
struct emb_job {
        uint8_t *buffer;
        const struct emb_key *key;
        uint8_t nonce[16]; /* or the first block of CBC or counter mode */
        uint8_t aad[12];   /* with a MAC: what is authenticated as if it followed the data */
        uint16_t cipher_at;
        uint16_t cipher_len; /* whole blocks of CBC */
        uint16_t tag_at;
        uint8_t aad_len; /* with a MAC: 0 or 4 */
        uint8_t status;  /* a greater one than EMB_FAILED: not to be touched */
};

/* A manager for the best instruction set of this processor, or NULL. `*error` says why. */
emb_manager *emb_manager_new(const char **error);
void emb_manager_free(emb_manager *manager);

/* The version of the loaded library, and the instruction set in use. */
const char *emb_version(void);
const char *emb_arch(const emb_manager *manager);

/* Whether Rust's idea of a job has the right size. */
int emb_job_size_matches(size_t size);

/* Which functions do it: the `call` of a key. 0 if there is no such pair. */
uint8_t emb_call(const struct emb_material *material);

/* Bytes of a schedule, which wants 64-byte alignment and must not move. */
size_t emb_schedule_size(const emb_manager *manager, const struct emb_material *material);

/* The cache lines of a schedule that sealing or opening a packet of a few hundred bytes needs, a bit each. */
struct emb_lines {
        uint64_t seal;
        uint64_t open;
};
struct emb_lines emb_schedule_lines(const emb_manager *manager, const struct emb_material *material);

/* Expands key material for which there is a call into `out`, which is zeroed. */
void emb_expand(emb_manager *manager, const struct emb_material *material, void *out);

/* Do the pending jobs whose keys have a call, and set their status. Give the number of jobs that are not EMB_OK
 * then. A job that fails may hold plaintext: its buffer is to be wiped. */
size_t emb_seal(emb_manager *manager, struct emb_job *jobs, size_t count);
size_t emb_open(emb_manager *manager, struct emb_job *jobs, size_t count);

#endif
