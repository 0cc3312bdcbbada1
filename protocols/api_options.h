/* The configuration's section "http_api". */
#ifndef BELFRY_PROTOCOLS_API_OPTIONS_H
#define BELFRY_PROTOCOLS_API_OPTIONS_H

#include "base/config.h"
#include "protocols/api_methods.h"

#define API_KEYS_MAX           100
#define API_KEY_NAME_MAX_BYTES 64

enum api_error_mode {
    API_ERRORS_IN_ANSWERS, /* 200 with {"error":{...}} */
    API_ERRORS_IN_TRANSPORT,
};

struct api_key_options {
    char *name;
    char *key;
    struct config_list methods; /* of char *; empty: all */
};

struct http_api_options {
    char *key; /* "": there is none */
    bool insecure;
    struct config_list keys; /* of struct api_key_options, beside it */
    int error_mode;          /* enum api_error_mode */
    int64_t batch_max_commands;
    int64_t batch_max_answer_size;
};

extern const struct config_shape http_api_options_shape;

/* The methods that a key is good for, as a set. */
uint64_t api_key_methods(const struct api_key_options *options);

#endif
