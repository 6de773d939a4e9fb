#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

// Lists of parameters hold pointers, which Swift cannot lend for so long.

// PBKDF2 with HMAC-SHA1 (RFC 8018), for any size of salt. Returns 1, or 0 or less where it fails.
static inline int crypto_pbkdf2_sha1(
    EVP_KDF_CTX *context, const unsigned char *password, size_t password_size, const unsigned char *salt, size_t salt_size,
    unsigned int iterations, unsigned char *result, size_t size) {
    int is_lenient = 1;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA1", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)password, password_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_size),
        OSSL_PARAM_construct_uint(OSSL_KDF_PARAM_ITER, &iterations),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &is_lenient),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(context, result, size, parameters);
}

// Begins an HMAC-SHA1.
static inline int crypto_start_hmac_sha1(EVP_MAC_CTX *context, const unsigned char *key, size_t size) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA1", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_init(context, key, size, parameters);
}

// Begins a Poly1305 with a one-time key of 32 bytes.
static inline int crypto_start_poly1305(EVP_MAC_CTX *context, const unsigned char *key) {
    return EVP_MAC_init(context, key, 32, NULL);
}

// scrypt (RFC 7914). Returns 1, or 0 or less where it fails: also where there is not enough memory.
static inline int crypto_scrypt(
    EVP_KDF_CTX *context, const unsigned char *password, size_t password_size, const unsigned char *salt, size_t salt_size,
    uint64_t n, uint32_t r, uint32_t p, uint64_t memory, unsigned char *result, size_t size) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)password, password_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_size),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(context, result, size, parameters);
}
