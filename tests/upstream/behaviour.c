/* SPDX-License-Identifier: MIT */
/* Reader of the query options: one table of names, kinds and fields. */
#include "tests/upstream/behaviour.h"

#define MAX_DURATION_MS ((uint64_t)600 * 1000)
#define MAX_SIZE        ((uint64_t)64 * 1024 * 1024)

#define MAX_HEAD_SIZE ((uint64_t)1024 * 1024)
#define MAX_BOMB_MIB  ((uint64_t)16 * 1024)
#define MAX_FAILS     ((uint64_t)1000000)
#define MAX_SECONDS   ((uint64_t)INT32_MAX)

enum kind {
    FLAG,
    DURATION,
    INTERVAL,
    SIZE,
    HEAD_SIZE,
    BOMB,
    COUNT,
    SECONDS,
    STATUS,
    DRIP,
    FAIL_WITH,
    TEXT,
    HEADER,
};

static const char *const expectations[] = {
    [FLAG] = "1 or 0",
    [DURATION] = "a time of 0ms to 600s, such as 10ms or 2s",
    [INTERVAL] = "a time of 1ms to 600s, such as 500ms or 2s",
    [SIZE] = "a number of bytes, 0 to 67108864",
    [HEAD_SIZE] = "a number of bytes, 0 to 1048576",
    [BOMB] = "a number of MiB, 1 to 16384",
    [COUNT] = "a number, 0 to 1000000",
    [SECONDS] = "a number of seconds, 0 to 2147483647",
    [STATUS] = "an HTTP status, 200 to 599",
    [DRIP] = "BYTES/TIME, such as 1/100ms",
    [FAIL_WITH] = "status, reset or hang",
    [TEXT] = "a text without control characters",
    [HEADER] = "Name:Value without control characters, at most 16 times",
};

#define FIELD(field) offsetof(struct behaviour, field)

/* STR() is no constant expression. */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct option {
    struct str name;
    enum kind kind;
    size_t field;
} options[] = {
    {STR_INIT("latency"), DURATION, FIELD(latency_ms)},
    {STR_INIT("jitter"), DURATION, FIELD(jitter_ms)},
    {STR_INIT("change"), INTERVAL, FIELD(change_ms)},
    {STR_INIT("size"), SIZE, FIELD(size)},
    {STR_INIT("status"), STATUS, FIELD(status)},
    {STR_INIT("head_size"), HEAD_SIZE, FIELD(head_size)},
    {STR_INIT("bomb"), BOMB, FIELD(bomb_mib)},
    {STR_INIT("fail"), COUNT, FIELD(fail)},
    {STR_INIT("fail_status"), STATUS, FIELD(fail_status)},
    {STR_INIT("fail_with"), FAIL_WITH, FIELD(fail_with)},
    {STR_INIT("retry_after"), SECONDS, FIELD(retry_after_s)},
    {STR_INIT("cache"), SECONDS, FIELD(max_age_s)},
    {STR_INIT("drip"), DRIP, 0},
    {STR_INIT("drip_head"), FLAG, FIELD(drip_head)},
    {STR_INIT("invalid"), FLAG, FIELD(invalid)},
    {STR_INIT("etag"), FLAG, FIELD(etag)},
    {STR_INIT("last_modified"), FLAG, FIELD(last_modified)},
    {STR_INIT("gzip"), FLAG, FIELD(gzip)},
    {STR_INIT("hang"), FLAG, FIELD(hang)},
    {STR_INIT("reset"), FLAG, FIELD(reset)},
    {STR_INIT("truncate"), FLAG, FIELD(truncate)},
    {STR_INIT("endless"), FLAG, FIELD(endless)},
    {STR_INIT("close"), FLAG, FIELD(close)},
    {STR_INIT("redirect"), TEXT, FIELD(redirect)},
    {STR_INIT("content_type"), TEXT, FIELD(content_type)},
    {STR_INIT("header"), HEADER, 0},
};

static bool read_number(struct str text, uint64_t min, uint64_t max, int64_t *ret_number)
{
    uint64_t number;
    if (!str_to_u64(text, &number) || number < min || number > max) {
        return false;
    }
    *ret_number = (int64_t)number;
    return true;
}

static bool read_duration(struct str text, uint64_t min_ms, int64_t *ret_ms)
{
    if (text.len < 2 || text.ptr[text.len - 1] != 's') {
        return false;
    }
    if (text.ptr[text.len - 2] == 'm') {
        return read_number(str_head(text, text.len - 2), min_ms, MAX_DURATION_MS, ret_ms);
    }
    int64_t seconds;
    if (!read_number(str_head(text, text.len - 1), 0, MAX_DURATION_MS / 1000, &seconds) ||
        (uint64_t)seconds * 1000 < min_ms) {
        return false;
    }
    *ret_ms = seconds * 1000;
    return true;
}

static bool read_flag(struct str text, bool *ret_flag)
{
    *ret_flag = str_eq(text, STR("1"));
    return *ret_flag || str_eq(text, STR("0"));
}

static bool read_drip(struct str text, struct behaviour *b)
{
    ptrdiff_t at = str_find(text, '/');
    return at > 0 && read_number(str_head(text, (size_t)at), 1, MAX_SIZE, &b->drip_bytes) &&
           read_duration(str_tail(text, (size_t)at + 1), 1, &b->drip_ms);
}

/* What goes into a head must not end its line. */
static bool read_text(struct str text, struct str *ret_text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    *ret_text = text;
    return text.len > 0;
}

static bool read_header(struct str text, struct behaviour *b)
{
    return b->n_headers < BEHAVIOUR_MAX_HEADERS && str_find(text, ':') > 0 &&
           read_text(text, &b->headers[b->n_headers++]);
}

static bool read_fail_with(struct str text, enum fail_with *ret_how)
{
    *ret_how = str_eq(text, STR("reset"))  ? FAIL_WITH_RESET
               : str_eq(text, STR("hang")) ? FAIL_WITH_HANG
                                           : FAIL_WITH_STATUS;
    return *ret_how != FAIL_WITH_STATUS || str_eq(text, STR("status"));
}

static bool read_option(const struct option *o, struct str value, struct behaviour *b)
{
    void *field = (char *)b + o->field;
    switch (o->kind) {
    case FLAG: return read_flag(value, field);
    case DURATION: return read_duration(value, 0, field);
    case INTERVAL: return read_duration(value, 1, field);
    case SIZE: return read_number(value, 0, MAX_SIZE, field);
    case HEAD_SIZE: return read_number(value, 0, MAX_HEAD_SIZE, field);
    case BOMB: return read_number(value, 1, MAX_BOMB_MIB, field);
    case COUNT: return read_number(value, 0, MAX_FAILS, field);
    case SECONDS: return read_number(value, 0, MAX_SECONDS, field);
    case FAIL_WITH: return read_fail_with(value, field);
    case STATUS: return read_number(value, 200, 599, field);
    case DRIP: return read_drip(value, b);
    case TEXT: return read_text(value, field);
    case HEADER: return read_header(value, b);
    }
    return false;
}

static const struct option *find_option(struct str name)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (str_eq(options[i].name, name)) {
            return &options[i];
        }
    }
    return NULL;
}

void behaviour_init(struct behaviour *b)
{
    *b = (struct behaviour){.fail_status = 500, .retry_after_s = -1, .max_age_s = -1};
}

bool behaviour_parse(const struct query *q, struct behaviour *b, struct str *ret_name,
                     const char **ret_expected)
{
    behaviour_init(b);
    for (size_t i = 0; i < q->n_params; i++) {
        const struct param *p = &q->params[i];
        const struct option *o = find_option(p->name);
        if (o && !read_option(o, p->value, b)) {
            *ret_name = p->name;
            *ret_expected = expectations[o->kind];
            return false;
        }
    }
    return true;
}
