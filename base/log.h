/* Structured log: one line per event on stderr, written at once:
 *   2026-01-31T12:00:00.123Z info server listening address=127.0.0.1 port=8000
 * Values that need it are quoted. Or as a JSON object:
 *   {"time":"2026-01-31T12:00:00.123Z","level":"info","module":"server","event":"listening",...}
 * No secrets and no payloads. From any thread. */
#ifndef BELFRY_BASE_LOG_H
#define BELFRY_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_INT } kind;
    struct str text;
    int64_t number;
};

static inline struct log_field log_s(const char *key, const char *text)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_STR, .text = str_of(text)};
}

static inline struct log_field log_str(const char *key, struct str text)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_STR, .text = text};
}

static inline struct log_field log_i(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_INT, .number = number};
}

enum log_format { LOG_TEXT, LOG_JSON };

/* At start-up, before threads. Default: LOG_INFO. */
void log_set_level(enum log_level level);
/* The same. Default: LOG_TEXT. */
void log_set_format(enum log_format format);
bool log_enabled(enum log_level level);
/* "info" -> LOG_INFO; false for an unknown name. */
bool log_level_of(struct str name, enum log_level *ret_level);

/* module: the part of the house ("storage"); event: a short fixed name ("opened"). */
void log_write(enum log_level level, const char *module, const char *event,
               const struct log_field *fields, size_t n_fields);

/* The first, empty field lets an event come without any; it is not written. */
#define log_at(level, module, event, ...)                                                          \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {{.key = NULL}, ##__VA_ARGS__};                 \
            log_write(level, module, event, log_fields_ + 1,                                       \
                      sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                           \
        }                                                                                          \
    } while (0)

/* For events that a stranger can cause as often as he likes: at most one line a second of each. One
 * static struct per call site, used by one thread. n_left_out: how many were not permitted since
 * the last that was. */
struct log_limit {
    int64_t next_ms;
    int64_t n_left_out;
    int64_t n_waiting; /* private */
};
bool log_permits(struct log_limit *limit);

#define log_trace(...) log_at(LOG_TRACE, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

#endif
