/* SPDX-License-Identifier: MIT */
/* Unit api_options holds the tables of the section "http_api". */
#include "protocols/api_options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define KEY_MIN_BYTES 16

/* It stands in labels and in lines of the log. */
static const char *accept_name(const void *place)
{
    const char *name = *(char *const *)place;
    size_t len = strlen(name);
    bool is_good = len > 0 && len <= API_KEY_NAME_MAX_BYTES &&
                   strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-") == len;
    return is_good ? NULL : "a name of 1 to 64 letters, digits, '_' and '-'";
}

/* What no header can carry, such as the line end of a file, would be refused at every call. */
static const char *accept_key(const void *place)
{
    const char *key = *(char *const *)place;
    struct str text = str_of(key);
    bool is_good = str_trim(text).len == text.len;
    for (const char *c = key; is_good && *c != '\0'; c++) {
        is_good = (unsigned char)*c >= ' ' && *c != 0x7f;
    }
    return is_good ? NULL : "a text without control characters, and without blanks around it";
}

/* An empty list reads like "nothing", and would mean "all". */
static const char *accept_methods(const void *place)
{
    const struct config_list *methods = place;
    return methods->n_items > 0 ? NULL : "a list of one method or more; without the list: all";
}

static const struct config_field key_fields[] = {
    {.key = "name",
     .type = CONFIG_STRING,
     .offset = offsetof(struct api_key_options, name),
     .accept = accept_name,
     .doc = "How the log and the figures call the key."},
    {.key = "key",
     .type = CONFIG_STRING,
     .offset = offsetof(struct api_key_options, key),
     .min = KEY_MIN_BYTES,
     .max = 1024,
     .secret = true,
     .accept = accept_key,
     .doc = "What the backend sends."},
    {.key = "methods",
     .type = CONFIG_STRINGS,
     .offset = offsetof(struct api_key_options, methods),
     .accept = accept_methods,
     .doc = "The methods that it may be used for, also url_proxy for GET /proxy; without: all."},
};

static void check_methods(struct config_reader *reader, void *object)
{
    const struct api_key_options *options = object;
    char *const *names = options->methods.items;
    for (size_t i = 0; i < options->methods.n_items; i++) {
        char path[32];
        snprintf(path, sizeof(path), "methods[%zu]", i);
        if (api_method_find(str_of(names[i])) == N_API_METHODS) {
            config_complain(reader, path, NULL, "the name of a method of the API, or url_proxy");
        }
    }
}

static const struct config_shape key_shape = {.size = sizeof(struct api_key_options),
                                              .fields = key_fields,
                                              .n_fields =
                                                  sizeof(key_fields) / sizeof(key_fields[0]),
                                              .check = check_methods};

static const char *const error_modes[] = {"", "transport", NULL}; /* as enum api_error_mode */

static const struct config_field http_api_fields[] = {
    {.key = "key",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_api_options, key),
     .fallback = "",
     .secret = true,
     .accept = accept_key,
     .doc = "What backends send in X-API-Key; empty, and without keys: nobody may call the API."},
    {.key = "insecure",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct http_api_options, insecure),
     .fallback = "false",
     .doc = "Everybody may call the API: for development only."},
    {.key = "keys",
     .type = CONFIG_LIST,
     .offset = offsetof(struct http_api_options, keys),
     .max = API_KEYS_MAX,
     .shape = &key_shape,
     .doc = "Further keys, each with a name, and for some methods or for all."},
    {.key = "error_mode",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct http_api_options, error_mode),
     .fallback = "",
     .choices = error_modes,
     .doc = "How the API answers errors: \"\": with status 200; transport: with a status of their "
            "own."},
    {.key = "batch_max_commands",
     .type = CONFIG_INT,
     .offset = offsetof(struct http_api_options, batch_max_commands),
     .fallback = "10000",
     .min = 1,
     .max = 100000,
     .doc = "Commands in one batch, and lines in one POST /api."},
    {.key = "batch_max_answer_size",
     .type = CONFIG_INT,
     .offset = offsetof(struct http_api_options, batch_max_answer_size),
     .fallback = "16777216",
     .min = 1024,
     .max = 33554432,
     .doc = "Bytes of the answers of one batch, or of one POST /api."},
};

/* The place of an earlier item with the same text; n: there is none. */
static size_t find_earlier(const struct http_api_options *options, size_t n, size_t offset)
{
    const char *items = options->keys.items;
    const char *wanted = *(char *const *)(items + n * sizeof(struct api_key_options) + offset);
    size_t i = 0;
    while (i < n &&
           strcmp(*(char *const *)(items + i * sizeof(struct api_key_options) + offset), wanted)) {
        i++;
    }
    return i;
}

static void check_http_api(struct config_reader *reader, void *object)
{
    const struct http_api_options *options = object;
    const struct api_key_options *keys = options->keys.items;
    for (size_t i = 0; i < options->keys.n_items; i++) {
        if (find_earlier(options, i, offsetof(struct api_key_options, name)) < i) {
            config_complain_item(reader, "keys", i, "name", NULL, "a name that no other key has");
        }
        bool is_taken = find_earlier(options, i, offsetof(struct api_key_options, key)) < i ||
                        strcmp(options->key, keys[i].key) == 0;
        if (is_taken && keys[i].key[0] != '\0') {
            config_complain_item(reader, "keys", i, "key", NULL, "a key that is not used twice");
        }
    }
}

const struct config_shape http_api_options_shape = {.size = sizeof(struct http_api_options),
                                                    .fields = http_api_fields,
                                                    .n_fields = sizeof(http_api_fields) /
                                                                sizeof(http_api_fields[0]),
                                                    .check = check_http_api};

uint64_t api_key_methods(const struct api_key_options *options)
{
    char *const *names = options->methods.items;
    uint64_t methods = options->methods.n_items == 0 ? API_ALL_METHODS : 0;
    for (size_t i = 0; i < options->methods.n_items; i++) {
        methods |= UINT64_C(1) << api_method_find(str_of(names[i]));
    }
    return methods;
}
