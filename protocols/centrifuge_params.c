/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_params reads what stands in commands. It keeps no state. */
#include "protocols/centrifuge_params.h"

#define N_FIELDS(fields) (sizeof(fields) / sizeof((fields)[0]))

/* Bits of a subscribe command's "flag"; 1 offers channel compaction, which is not used here. */
#define FLAG_FAIL_UNRECOVERED 2

bool centrifuge_read_fields(const struct centrifuge_params *p, struct json_field *fields,
                            size_t n_fields)
{
    return json_kind(p->object) == JSON_KIND_OBJECT &&
           json_read_object(p->object, fields, n_fields, NULL) == STATUS_OK;
}

/* Members that are null are as absent. */
static bool is_absent(struct str value)
{
    return value.len == 0 || str_eq(value, STR("null"));
}

/* Most strings have no escapes and are used where they lie. */
bool centrifuge_read_text(const struct centrifuge_params *p, struct str value, struct str *ret_text)
{
    *ret_text = STR_EMPTY;
    if (is_absent(value)) {
        return true;
    }
    if (json_kind(value) != JSON_KIND_STRING) {
        return false;
    }
    struct str content = {value.ptr + 1, value.len - 2};
    if (str_find(content, '\\') < 0) {
        *ret_text = content;
        return true;
    }
    size_t start = p->decoded->len;
    if (buf_reserve(p->decoded, p->decoded->max - start) != STATUS_OK ||
        json_decode_string(value, p->decoded) != STATUS_OK || buf_failed(p->decoded)) {
        return false;
    }
    *ret_text = str_tail(buf_str(p->decoded), start);
    return true;
}

bool centrifuge_read_u64(struct str value, uint64_t *ret_number)
{
    *ret_number = 0;
    return is_absent(value) || json_to_u64(value, ret_number);
}

static bool read_i64(struct str value, int64_t *ret_number)
{
    *ret_number = 0;
    return is_absent(value) || json_to_i64(value, ret_number);
}

static bool read_bool(struct str value, bool *ret_truth)
{
    *ret_truth = false;
    return is_absent(value) || json_to_bool(value, ret_truth);
}

/* An object, or nothing. */
static bool read_object(struct str value, struct str *ret_object)
{
    bool is_none = is_absent(value);
    *ret_object = is_none ? STR_EMPTY : value;
    return is_none || json_kind(value) == JSON_KIND_OBJECT;
}

/* Any JSON; null is nothing. */
static struct str read_data(struct str value)
{
    return is_absent(value) ? STR_EMPTY : value;
}

bool centrifuge_read_channel(const struct centrifuge_params *p, struct str *ret_channel)
{
    struct json_field f[] = {{STR("channel"), STR_EMPTY}};
    return centrifuge_read_fields(p, f, N_FIELDS(f)) &&
           centrifuge_read_text(p, f[0].value, ret_channel);
}

bool centrifuge_read_connect(struct str object, struct buf *decoded,
                             struct connect_request *ret_request)
{
    const struct centrifuge_params params = {.object = object, .decoded = decoded};
    const struct centrifuge_params *p = &params;
    struct json_field f[] = {{STR("token"), STR_EMPTY},   {STR("data"), STR_EMPTY},
                             {STR("name"), STR_EMPTY},    {STR("version"), STR_EMPTY},
                             {STR("headers"), STR_EMPTY}, {STR("subs"), STR_EMPTY}};
    struct connect_request request = {0};
    bool is_good = centrifuge_read_fields(p, f, N_FIELDS(f)) &&
                   centrifuge_read_text(p, f[0].value, &request.token) &&
                   centrifuge_read_text(p, f[2].value, &request.name) &&
                   centrifuge_read_text(p, f[3].value, &request.version) &&
                   read_object(f[4].value, &request.headers) &&
                   read_object(f[5].value, &request.subs);
    request.data = read_data(f[1].value);
    if (is_good) {
        *ret_request = request;
    }
    return is_good;
}

enum {
    SUB_CHANNEL,
    SUB_TOKEN,
    SUB_DATA,
    SUB_EPOCH,
    SUB_OFFSET,
    SUB_RECOVER,
    SUB_POSITIONED,
    SUB_RECOVERABLE,
    SUB_JOIN_LEAVE,
    SUB_DELTA,
    SUB_FILTER,
    SUB_FLAG,
    SUB_TYPE,
    N_SUB
};

/* Map subscriptions and shared polls are not for any namespace here. */
static bool read_type(struct str value, bool *ret_is_stream)
{
    int64_t type;
    bool is_good = read_i64(value, &type);
    *ret_is_stream = type == 0;
    return is_good;
}

static bool read_texts(const struct centrifuge_params *p, const struct json_field *f,
                       struct subscribe_request *request)
{
    return centrifuge_read_text(p, f[SUB_CHANNEL].value, &request->channel) &&
           centrifuge_read_text(p, f[SUB_TOKEN].value, &request->token) &&
           centrifuge_read_text(p, f[SUB_EPOCH].value, &request->epoch) &&
           centrifuge_read_text(p, f[SUB_DELTA].value, &request->delta) &&
           read_object(f[SUB_FILTER].value, &request->tags_filter);
}

bool centrifuge_read_subscribe(const struct centrifuge_params *p,
                               struct subscribe_request *ret_request, bool *ret_is_stream)
{
    struct json_field f[N_SUB] = {
        [SUB_CHANNEL] = {STR("channel"), STR_EMPTY},
        [SUB_TOKEN] = {STR("token"), STR_EMPTY},
        [SUB_DATA] = {STR("data"), STR_EMPTY},
        [SUB_EPOCH] = {STR("epoch"), STR_EMPTY},
        [SUB_OFFSET] = {STR("offset"), STR_EMPTY},
        [SUB_RECOVER] = {STR("recover"), STR_EMPTY},
        [SUB_POSITIONED] = {STR("positioned"), STR_EMPTY},
        [SUB_RECOVERABLE] = {STR("recoverable"), STR_EMPTY},
        [SUB_JOIN_LEAVE] = {STR("join_leave"), STR_EMPTY},
        [SUB_DELTA] = {STR("delta"), STR_EMPTY},
        [SUB_FILTER] = {STR("tf"), STR_EMPTY},
        [SUB_FLAG] = {STR("flag"), STR_EMPTY},
        [SUB_TYPE] = {STR("type"), STR_EMPTY},
    };
    struct subscribe_request request = {0};
    int64_t flag = 0;
    bool is_good = centrifuge_read_fields(p, f, N_SUB) && read_texts(p, f, &request) &&
                   centrifuge_read_u64(f[SUB_OFFSET].value, &request.offset) &&
                   read_bool(f[SUB_RECOVER].value, &request.recover) &&
                   read_bool(f[SUB_POSITIONED].value, &request.positioned) &&
                   read_bool(f[SUB_RECOVERABLE].value, &request.recoverable) &&
                   read_bool(f[SUB_JOIN_LEAVE].value, &request.join_leave) &&
                   read_i64(f[SUB_FLAG].value, &flag) &&
                   read_type(f[SUB_TYPE].value, ret_is_stream);
    request.data = read_data(f[SUB_DATA].value);
    request.fail_unrecovered = (flag & FLAG_FAIL_UNRECOVERED) != 0;
    bool is_known_delta = request.delta.len == 0 || str_eq(request.delta, STR("fossil"));
    if (!is_good || request.channel.len == 0 || !is_known_delta) {
        return false;
    }
    *ret_request = request;
    return true;
}

bool centrifuge_read_history(const struct centrifuge_params *p, struct history_request *request)
{
    struct json_field f[] = {{STR("channel"), STR_EMPTY},
                             {STR("limit"), STR_EMPTY},
                             {STR("reverse"), STR_EMPTY},
                             {STR("since"), STR_EMPTY}};
    struct json_field since[] = {{STR("offset"), STR_EMPTY}, {STR("epoch"), STR_EMPTY}};
    struct str object;
    if (!centrifuge_read_fields(p, f, N_FIELDS(f)) ||
        !centrifuge_read_text(p, f[0].value, &request->channel) ||
        !read_i64(f[1].value, &request->limit) || !read_bool(f[2].value, &request->reverse) ||
        !read_object(f[3].value, &object)) {
        return false;
    }
    request->has_since = object.len > 0;
    if (request->has_since &&
        (json_read_object(object, since, N_FIELDS(since), NULL) != STATUS_OK ||
         !centrifuge_read_u64(since[0].value, &request->since) ||
         !centrifuge_read_text(p, since[1].value, &request->epoch))) {
        return false;
    }
    return request->channel.len > 0;
}
