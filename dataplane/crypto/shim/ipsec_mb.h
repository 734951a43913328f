/*
 * The part of intel-ipsec-mb that Esplanade uses, in types that Rust can declare by hand.
 * What differs between releases 1.3 (Debian 12) and 2.0 (Debian 13) stays behind these functions:
 * structures, macros, and the numbers of enumerations, which 2.0 changes.
 */
#ifndef ESPLANADE_IPSEC_MB_H
#define ESPLANADE_IPSEC_MB_H

#include <stddef.h>
#include <stdint.h>

/* A manager (IMB_MGR). Used by one thread at a time. */
typedef struct IMB_MGR emb_manager;

/* Schedules, opaque to Rust; both want 64-byte alignment and must not move. */
typedef struct gcm_key_data emb_gcm_key;
typedef struct emb_etm_key emb_etm_key;

/* Our own numbers: those of IKEv2 transforms. */
enum emb_cipher {
        EMB_DES = 2,
        EMB_3DES = 3,
        EMB_NULL = 11,
        EMB_AES_CBC = 12,
        EMB_AES_CTR = 13,
        EMB_CHACHA20_POLY1305 = 28
};
enum emb_mac { EMB_NO_MAC = 0, EMB_MD5 = 1, EMB_SHA1 = 2, EMB_SHA256 = 12, EMB_SHA384 = 13, EMB_SHA512 = 14 };

/* One AES-GCM packet, in place; or one AES-GMAC packet, whose data is authenticated only. */
struct emb_gcm_job {
        const emb_gcm_key *key;
        uint8_t *data;
        uint64_t len;
        const uint8_t *nonce; /* 12 bytes */
        const uint8_t *aad;
        uint64_t aad_len;
        uint8_t *tag;     /* 16 bytes, written in both directions */
        uint64_t key_len; /* 16, 24 or 32 */
        size_t owner;     /* Rust's */
};

/* One cipher and MAC packet, in place; ChaCha20-Poly1305 is both. Offsets count from `data`. */
struct emb_etm_job {
        const emb_etm_key *key;
        uint8_t *data;
        uint64_t cipher_at;
        uint64_t cipher_len; /* whole blocks, but for counter mode */
        uint64_t mac_at;
        uint64_t mac_len;
        const uint8_t *aad; /* ChaCha20-Poly1305: authenticated before the rest */
        uint64_t aad_len;
        const uint8_t *iv;
        uint8_t *tag; /* written in both directions */
        uint64_t tag_len;
        uint64_t done; /* set to 1 when complete */
        size_t owner;  /* Rust's */
};

/* A manager for the best instruction set of this processor, or NULL. `*error` says why. */
emb_manager *emb_manager_new(const char **error);
void emb_manager_free(emb_manager *manager);

/* The version of the loaded library, and the instruction set in use. */
const char *emb_version(void);
const char *emb_arch(const emb_manager *manager);

/* Whether Rust's idea of the two job structures has the right sizes. */
int emb_job_sizes_match(size_t gcm, size_t etm);

size_t emb_gcm_key_size(void);
size_t emb_etm_key_size(void);

/* Expands 16, 24 or 32 bytes of AES key. */
void emb_gcm_expand(emb_manager *manager, emb_gcm_key *out, const uint8_t *key, size_t len);

/* Expands a cipher key and a MAC key no longer than the hash's block; 0, or -1 if there is no such pair.
 * ChaCha20-Poly1305 goes with EMB_NO_MAC. */
int emb_etm_expand(emb_manager *manager, emb_etm_key *out, int cipher, const uint8_t *key, size_t len, int mac,
                   const uint8_t *mac_key, size_t mac_key_len);

/* Every job is complete on return. */
void emb_gcm_seal(emb_manager *manager, const struct emb_gcm_job *jobs, size_t count);
void emb_gcm_open(emb_manager *manager, const struct emb_gcm_job *jobs, size_t count);
void emb_gmac_tag(emb_manager *manager, const struct emb_gcm_job *jobs, size_t count);
void emb_etm_seal(emb_manager *manager, struct emb_etm_job *jobs, size_t count);
void emb_etm_open(emb_manager *manager, struct emb_etm_job *jobs, size_t count);

#endif
