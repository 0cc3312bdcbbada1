/* SPDX-License-Identifier: MIT */
/* Unit api_batch begins the calls of one request: one after another, or, where the caller wants it,
 * some at a time. Answers are written as they come, which mostly is their order; else they are put
 * in order when the last one has come. What is begun goes on when the caller has gone. Reading a
 * large request, its calls and its answer have turns of the loop of their own. Loop's thread only.
 */
#include "protocols/api_batch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "protocols/api.h"
#include "protocols/api_reply.h"
#include "protocols/api_stream.h"
#include "protocols/tracing.h"

/* As many as of a broadcast: so that neither loop nor storage has to take all at once. */
#define MAX_OPEN 64

/* Calls that are answered at once hold the loop no longer in one go. */
#define TURN_US 1000

/* What is more has another turn. */
#define BEGUN_AT_ONCE          200
#define ANSWERED_AT_ONCE_BYTES 65536

struct piece {
    struct api_call call;
    struct batch *batch;
    struct str id;    /* of a line: JSON, or empty */
    size_t answer_at; /* in answers */
    size_t answer_len;
};

struct batch {
    struct api_call *whole;
    bool has_lines;
    size_t max_open;
    struct json_walk rest; /* commands not begun */
    struct str lines;      /* the same */
    struct buf answers;    /* all of them, and what stands in front of and between them */
    size_t n_bytes_left;   /* for further ones */
    size_t n_kept;
    bool is_out_of_order;
    bool is_beginning;
    bool is_put_off; /* the end */
    struct deferred go_on;
    size_t n_begun;
    size_t n_open;
    size_t n_pieces;
    struct piece pieces[];
};

/* --- the answer --- */

static const char too_large[] =
    "with this one the answers are larger than http_api.batch_max_answer_size";

static void begin_all(const struct batch *b, struct buf *out)
{
    buf_append(out, b->has_lines ? STR_EMPTY : STR("{\"replies\":["));
}

static void separate(const struct batch *b, struct buf *out)
{
    buf_append_char(out, b->has_lines ? '\n' : ',');
}

static void begin_answer(struct buf *out, const struct piece *piece)
{
    buf_append_char(out, '{');
    if (piece->id.len > 0) {
        buf_literal(out, "\"id\":");
        buf_append(out, piece->id);
        buf_append_char(out, ',');
    }
}

/* {"publish":{...}} or {"id":1,"result":{...}}, or "error" instead. */
static void write_answer(struct buf *out, const struct piece *piece,
                         const struct api_answer *answer)
{
    bool has_lines = piece->batch->has_lines;
    const char *name = has_lines ? "result" : api_method_names[piece->call.method];
    begin_answer(out, piece);
    if (answer->status == STATUS_OK) {
        buf_printf(out, "\"%s\":", name);
        buf_append(out, answer->result);
    } else {
        buf_literal(out, "\"error\":");
        api_append_bare_error(out, answer->status, answer->detail);
    }
    buf_append_char(out, '}');
}

/* What there is no room for is told in its place, beyond the limit: one short text for each. */
static void write_within_limit(struct batch *b, const struct piece *piece,
                               const struct api_answer *answer)
{
    const struct api_answer refusal = {.status = STATUS_LIMIT, .detail = too_large};
    size_t start = b->answers.len;
    bool has_room = answer->result.len <= b->n_bytes_left;
    if (has_room) {
        write_answer(&b->answers, piece, answer);
        has_room = b->answers.len - start <= b->n_bytes_left;
    }
    if (has_room) {
        b->n_bytes_left -= b->answers.len - start;
    } else {
        b->answers.len = start;
        write_answer(&b->answers, piece, &refusal);
    }
}

static void keep_answer(struct piece *piece, const struct api_answer *answer)
{
    struct batch *b = piece->batch;
    b->is_out_of_order |= piece != &b->pieces[b->n_kept];
    if (b->n_kept++ > 0) {
        separate(b, &b->answers);
    }
    piece->answer_at = b->answers.len;
    write_within_limit(b, piece, answer);
    piece->answer_len = b->answers.len - piece->answer_at;
}

static void put_in_order(struct batch *b)
{
    struct buf body;
    buf_init(&body, API_REPLY_MAX_BYTES);
    (void)buf_reserve(&body, b->answers.len); /* else it grows */
    begin_all(b, &body);
    for (size_t i = 0; i < b->n_pieces; i++) {
        const struct piece *piece = &b->pieces[i];
        if (i > 0) {
            separate(b, &body);
        }
        buf_append(&body,
                   str_head(str_tail(buf_str(&b->answers), piece->answer_at), piece->answer_len));
    }
    buf_release(&b->answers);
    b->answers = body;
}

static void finish(struct batch *b)
{
    struct api_call *whole = b->whole;
    if (b->is_out_of_order && !buf_failed(&b->answers)) {
        put_in_order(b);
    }
    buf_append(&b->answers, b->has_lines ? STR_EMPTY : STR("]}"));
    struct buf body = b->answers;
    free(b);
    api_answer_text(whole, &body);
    buf_release(&body);
}

static void begin_pieces(struct batch *b);

static void answered(struct api_call *call, const struct api_answer *answer)
{
    struct piece *piece = container_of(call, struct piece, call);
    struct batch *b = piece->batch;
    keep_answer(piece, answer);
    b->n_open--;
    if (!b->is_beginning && !deferred_waiting(&b->go_on)) {
        begin_pieces(b);
    }
}

/* --- what one of them is --- */

static void begin_call(struct piece *piece, enum api_method method, struct str params)
{
    piece->call.api = piece->batch->whole->api;
    piece->call.method = method;
    piece->call.params = params;
    piece->call.begun_us = clock_monotonic_us();
    if (json_kind(params) == JSON_KIND_OBJECT) {
        api_begin(&piece->call);
    } else {
        api_answer_error(&piece->call, STATUS_INVALID, "expected an object of parameters");
    }
}

/* Members that are no method are ignored, as Centrifugo does. */
static void begin_command(struct piece *piece, struct str command)
{
    struct json_walk walk = json_walk(command);
    enum api_method found = N_API_METHODS;
    struct str name;
    struct str value;
    struct str params = STR_EMPTY;
    size_t n_found = 0;
    while (json_next_member(&walk, &name, &value)) {
        enum api_method method = api_find(name);
        if (method != N_API_METHODS && json_kind(value) != JSON_KIND_NULL) {
            found = method;
            params = value;
            n_found++;
        }
    }
    if (json_kind(command) != JSON_KIND_OBJECT || n_found > 1) {
        api_answer_error(&piece->call, STATUS_INVALID, "expected an object with one method");
    } else if (n_found == 0) {
        api_answer_error(&piece->call, STATUS_NO_METHOD, "expected the name of a method");
    } else if (found == API_BATCH) {
        api_answer_error(&piece->call, STATUS_INVALID, "a batch inside a batch");
    } else {
        begin_call(piece, found, params);
    }
}

#define METHOD_MAX_BYTES 64

/* In any case of letters, as Centrifugo has it here. */
static enum api_method find_any_case(struct str text)
{
    char name[METHOD_MAX_BYTES];
    struct str content = text.len >= 2 ? str_tail(str_head(text, text.len - 1), 1) : STR_EMPTY;
    if (json_kind(text) != JSON_KIND_STRING || content.len > sizeof(name)) {
        return N_API_METHODS;
    }
    for (size_t i = 0; i < content.len; i++) {
        bool is_upper = content.ptr[i] >= 'A' && content.ptr[i] <= 'Z';
        name[i] = (char)(content.ptr[i] + (is_upper ? 'a' - 'A' : 0));
    }
    return api_find((struct str){name, content.len});
}

static void begin_line(struct piece *piece, struct str line)
{
    struct str id = STR_EMPTY;
    struct str name = STR_EMPTY;
    struct str params = STR_EMPTY;
    uint64_t number = 0;
    bool has_id = json_member(line, STR("id"), &id);
    bool has_name = json_member(line, STR("method"), &name);
    bool has_params = json_member(line, STR("params"), &params);
    enum api_method method = has_name ? find_any_case(name) : N_API_METHODS;
    if (has_id && !json_to_u64(id, &number)) {
        api_answer_error(&piece->call, STATUS_INVALID, "id: expected a whole number");
        return;
    }
    piece->id = number > 0 ? id : STR_EMPTY;
    if (!has_name) {
        api_answer_error(&piece->call, STATUS_INVALID, "method: expected the name of a method");
    } else if (method == N_API_METHODS || method == API_BATCH) {
        api_answer_error(&piece->call, STATUS_NO_METHOD,
                         "method: expected the name of a method, other than batch");
    } else {
        bool is_none = !has_params || json_kind(params) == JSON_KIND_NULL;
        begin_call(piece, method, is_none ? STR("{}") : params);
    }
}

/* --- all of them --- */

static void begin_piece(struct batch *b, struct piece *piece)
{
    const struct api_call *whole = b->whole;
    struct str text = STR_EMPTY;
    piece->batch = b;
    piece->call = (struct api_call){
        .hub = whole->hub, .key = whole->key, .key_id = whole->key_id, .answered = answered};
    b->n_open++;
    if (b->has_lines) {
        (void)api_stream_next(&b->lines, &text);
        begin_line(piece, text);
    } else {
        (void)json_next_element(&b->rest, &text);
        begin_command(piece, text);
    }
}

/* When the hub is ending each is refused at once, and none may be left for later: the hub's end
 * does not wait for it. */
static bool may_begin(const struct batch *b, int64_t until_us)
{
    return b->n_open < b->max_open && b->n_begun < b->n_pieces &&
           (clock_monotonic_us() < until_us || hub_is_stopping(b->whole->hub));
}

static void begin_some(struct batch *b)
{
    struct trace trace;
    int64_t until_us = clock_monotonic_us() + TURN_US;
    b->is_beginning = true;
    tracing_begin(b->whole->hub, b->whole->request, &trace);
    while (may_begin(b, until_us)) {
        begin_piece(b, &b->pieces[b->n_begun++]);
    }
    tracing_end(b->whole->hub);
    b->is_beginning = false;
}

static void put_off(struct batch *b)
{
    loop_defer(b->whole->api->loop, &b->go_on);
}

static void begin_pieces(struct batch *b)
{
    begin_some(b);
    if (b->n_begun < b->n_pieces && b->n_open < b->max_open) {
        put_off(b);
    } else if (b->n_open == 0 && b->answers.len > ANSWERED_AT_ONCE_BYTES && !b->is_put_off) {
        b->is_put_off = true;
        put_off(b);
    } else if (b->n_open == 0) {
        finish(b);
    }
}

static void begin(struct batch *b)
{
    begin_all(b, &b->answers);
    if (b->n_pieces > BEGUN_AT_ONCE) {
        put_off(b);
    } else {
        begin_pieces(b);
    }
}

static void go_on(void *arg)
{
    begin_pieces(arg);
}

/* NULL: memory is short. */
static struct batch *create(struct api_call *whole, size_t n_pieces)
{
    struct batch *b = calloc(1, sizeof(*b) + n_pieces * sizeof(b->pieces[0]));
    if (!b) {
        api_answer_error(whole, STATUS_NO_MEMORY, "");
        return NULL;
    }
    b->whole = whole;
    b->max_open = 1;
    b->n_pieces = n_pieces;
    b->go_on = (struct deferred){.fn = go_on, .arg = b};
    b->n_bytes_left = (size_t)whole->api->options->batch_max_answer_size;
    buf_init(&b->answers, API_REPLY_MAX_BYTES);
    return b;
}

void api_batch(struct api_call *call, struct api_params *params)
{
    struct str commands = api_value(params, "commands");
    size_t max = (size_t)call->api->options->batch_max_commands;
    bool is_parallel;
    if (!api_bool(params, "parallel", &is_parallel)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    bool is_list = commands.len > 0 && json_kind(commands) == JSON_KIND_ARRAY;
    size_t n = is_list ? json_count(commands) : 0;
    if (!is_list || n > max) {
        char text[96];
        snprintf(text, sizeof(text),
                 "commands: expected a list of at most %zu (http_api.batch_max_commands)", max);
        api_answer_error(call, STATUS_INVALID, text);
        return;
    }
    struct batch *b = create(call, n);
    if (b) {
        b->max_open = is_parallel ? MAX_OPEN : 1;
        b->rest = json_walk(commands);
        begin(b);
    }
}

/* How many calls there are; 0: it has been answered. */
static size_t check_lines(struct api_call *call)
{
    struct api_stream_fault fault;
    char text[160];
    size_t max = (size_t)call->api->options->batch_max_commands;
    size_t n;
    switch (api_stream_check(call->params, max, &n, &fault)) {
    case STATUS_OK: return n;
    case STATUS_INVALID:
        snprintf(text, sizeof(text), "malformed JSON at byte %zu: expected %s\n", fault.offset,
                 fault.expected);
        break;
    default:
        snprintf(text, sizeof(text), "expected 1 to %zu calls (http_api.batch_max_commands)\n",
                 max);
        break;
    }
    api_reply_bad(call->request, text);
    return 0;
}

void api_answer_lines(struct api_call *call)
{
    size_t n = check_lines(call);
    struct batch *b = n > 0 ? create(call, n) : NULL;
    if (b) {
        b->has_lines = true;
        b->lines = call->params;
        begin(b);
    }
}
