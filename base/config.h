/* Reading the configuration: JSON checked against tables ("shapes") and put into plain structs. The
 * tables say everything about a key (type, default, range, words for the error message), so that
 * all errors are found in one pass, and so that documentation and a schema can be made from the
 * same tables.
 *
 * - The document may have comments: from two slashes to the end of the line, and as in C.
 * - "${NAME}" in a string value is replaced by the environment variable NAME; a missing one is an
 * error.
 * - A scalar key that is not inside a list may be overridden by an environment variable:
 * http_server.port by BELFRY_HTTP_SERVER_PORT (its text is read as the key's type; lists of
 * strings: separated by blanks).
 * - An unknown key, a wrong type or a value out of range is an error that names the path, the value
 * and what was expected. Values of secret keys are not shown. */
#ifndef BELFRY_BASE_CONFIG_H
#define BELFRY_BASE_CONFIG_H

#include "base/status.h"
#include "base/str.h"

enum config_type {
    CONFIG_BOOL,     /* bool */
    CONFIG_INT,      /* int64_t, min to max */
    CONFIG_STRING,   /* char *, NUL-terminated, never NULL; min to max bytes where max > 0 */
    CONFIG_DURATION, /* int64_t milliseconds, from "250ms" "25s" "5m" "720h"; min to max in ms */
    CONFIG_CHOICE,   /* int: the index in choices */
    CONFIG_STRINGS,  /* struct config_list of char * */
    CONFIG_PAIRS,    /* struct config_list of struct config_pair, from {"name": "text", ...} */
    CONFIG_OBJECT, /* the shape's struct, embedded; an absent object gets the defaults of its shape
                    */
    CONFIG_LIST,   /* struct config_list of the shape's struct, from [{...}, ...] */
};

/* When a changed value takes effect. */
enum config_change {
    CONFIG_CHANGE_INHERITED, /* as that of the object or list around it; outermost: at a start */
    CONFIG_CHANGE_ON_RELOAD,
    CONFIG_CHANGE_AT_START, /* a running program keeps the value that it has */
};

struct config_list {
    void *items;
    size_t n_items;
};

struct config_pair {
    char *name;
    char *text;
};

struct config_reader; /* one reading under way: collects the errors */

/* Looks at one value that has been read from document or environment, for what type and range do
 * not say. place: where it was put. NULL: it is good; otherwise what was expected, as a noun. */
typedef const char *(*config_accept_fn)(const void *place);

/* After an object's fields are read: checks one against another. Runs also beside wrong values, in
 * whose place the object has the default or what was not accepted: what it takes from other keys
 * than the one it complains about is to be asked about with config_is_good(). Complains by
 * config_complain(). */
typedef void (*config_check_fn)(struct config_reader *reader, void *object);

struct config_field {
    const char *key;
    enum config_type type;
    size_t offset;        /* offsetof() in the shape's struct */
    const char *fallback; /* the default as it would stand in an environment variable; NULL: the
                             key is required (scalars); lists and objects start empty */
    int64_t min, max;     /* both 0: no limit; the default may lie outside ("0": never). Of a list
                             only max, in items: longer ones are not looked into */
    const char *expected; /* for messages, "a TCP port from 1 to 65535"; NULL: made from the type */
    const char *const *choices;       /* CONFIG_CHOICE: names, ended by NULL */
    const struct config_shape *shape; /* CONFIG_OBJECT, CONFIG_LIST */
    bool secret;                      /* the value appears in no message */
    config_accept_fn accept;          /* may be NULL */
    enum config_change change;        /* not inside a list: its items change as it does */
    const char *doc;                  /* one sentence for the reference */
};

struct config_shape {
    size_t size; /* of the struct */
    const struct config_field *fields;
    size_t n_fields;
    config_check_fn check;         /* may be NULL */
    void (*release)(void *object); /* of what check has made; may be NULL */
};

/* Is nothing wrong at this place, above it or below? path: from the object being checked, such as
 * "namespaces[2].name". */
bool config_is_good(const struct config_reader *reader, const char *path);

/* Complains about a key of the object being checked, or of one below it ("namespaces[2].name").
 * value: as JSON text, or NULL when the value itself is to be found under the key. expected: what
 * would be right. Nothing is said of a place where something has been found wrong before. */
void config_complain(struct config_reader *reader, const char *key, const char *value,
                     const char *expected);
/* The same where the value is not at fault by itself: only what was expected is said. */
void config_complain_need(struct config_reader *reader, const char *key, const char *expected);
/* The same as config_complain() for item index of a list under key: "feeds[2].channel". */
void config_complain_item(struct config_reader *reader, const char *key, size_t index,
                          const char *item_key, const char *value, const char *expected);

/* All that was wrong, one sentence each, in the order of the document. */
struct config_errors {
    char **texts;
    size_t n_texts;
};

/* The object (of shape->size) is filled wholly, also on
 * failure, and is to be released in any case. STATUS_INVALID: ret_errors has at least one.
 * Environment variables BELFRY_* that fit no key are in ret_errors only as warnings of the log. */
enum status config_read(struct str text, const struct config_shape *shape, void *object,
                        struct config_errors *ret_errors) MUST_CHECK;
/* The same for a document that somebody sends: no comments, no text in it is replaced, and no
 * environment variable overrides it. */
enum status config_read_request(struct str text, const struct config_shape *shape, void *object,
                                struct config_errors *ret_errors) MUST_CHECK;
void config_release(const struct config_shape *shape, void *object);
void config_errors_release(struct config_errors *errors);

/* "250ms", "25s", "1m30s", "0"; false when text is no duration or too long for an int64_t. */
bool config_parse_duration(struct str text, int64_t *ret_ms);

/* "250ms", "25s", "1m30s", "0"; false when text is no duration or too long for an int64_t. */
bool config_parse_duration(struct str text, int64_t *ret_ms);

/* Reads a whole file (at most 16 MiB): STATUS_NOT_FOUND, STATUS_IO, STATUS_TOO_LARGE. Free the text
 * with free(). */
enum status config_load_file(const char *path, char **ret_text, size_t *ret_len) MUST_CHECK;

/* The shape as a JSON Schema (draft 2020-12), which accepts whatever config_read() accepts without
 * environment variables in place of keys, and refuses what a schema can; and all keys with their
 * defaults, as a document. Texts to be freed; memory that is short ends the program. */
char *config_schema(const struct config_shape *shape, const char *title);
char *config_defaults(const struct config_shape *shape);

#endif
