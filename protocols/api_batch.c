/* SPDX-License-Identifier: MIT */
/* Unit api_batch begins the calls of one request: one after another, or, where the caller wants it,
 * some at a time. Each answer is kept as it comes; all are written in order when the last one has
 * come. What is begun goes on when the caller has gone. Loop's thread only. */
#include "protocols/api_batch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "protocols/api.h"
#include "protocols/api_reply.h"
#include "protocols/api_stream.h"

/* As many as of a broadcast: so that neither loop nor storage has to take all at once. */
#define MAX_OPEN 64

/* Calls that are answered at once hold the loop no longer in one go. */
#define TURN_US 1000

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
    struct buf answers;
    bool is_beginning;
    struct deferred go_on;
    size_t n_begun;
    size_t n_open;
    size_t n_pieces;
    struct piece pieces[];
};

/* --- the answer --- */

static const char too_large[] =
    "with this one the answers are larger than http_api.batch_max_answer_size";

static void begin_answer(struct buf *out, const struct piece *piece)
{
    buf_append_char(out, '{');
    if (piece->id.len > 0) {
        buf_literal(out, "\"id\":");
        buf_append(out, piece->id);
        buf_append_char(out, ',');
    }
}

static void append_piece(struct buf *out, const struct batch *b, const struct piece *piece)
{
    if (piece->answer_len > 0) {
        buf_append(out,
                   str_head(str_tail(buf_str(&b->answers), piece->answer_at), piece->answer_len));
        return;
    }
    begin_answer(out, piece);
    buf_literal(out, "\"error\":");
    api_append_bare_error(out, STATUS_LIMIT, too_large);
    buf_append_char(out, '}');
}

static void finish(struct batch *b)
{
    struct buf body;
    struct api_call *whole = b->whole;
    buf_init(&body, API_REPLY_MAX_BYTES);
    buf_append(&body, b->has_lines ? STR_EMPTY : STR("{\"replies\":["));
    for (size_t i = 0; i < b->n_pieces; i++) {
        if (i > 0) {
            buf_append_char(&body, b->has_lines ? '\n' : ',');
        }
        append_piece(&body, b, &b->pieces[i]);
    }
    buf_append(&body, b->has_lines ? STR_EMPTY : STR("]}"));
    buf_release(&b->answers);
    free(b);
    api_answer_text(whole, &body);
    buf_release(&body);
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

static void begin_pieces(struct batch *b);

static void keep_answer(struct piece *piece, const struct api_answer *answer)
{
    struct batch *b = piece->batch;
    struct buf text;
    buf_init(&text, b->answers.max - b->answers.len);
    write_answer(&text, piece, answer);
    if (!buf_failed(&text) && buf_reserve(&b->answers, text.len) == STATUS_OK) {
        piece->answer_at = b->answers.len;
        piece->answer_len = text.len;
        buf_append(&b->answers, buf_str(&text));
    }
    buf_release(&text);
}

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
        api_answer_error(&piece->call, STATUS_NO_METHOD, "");
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
        api_answer_error(&piece->call, STATUS_NO_METHOD, "");
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
    piece->call = (struct api_call){.hub = whole->hub, .key = whole->key, .answered = answered};
    b->n_open++;
    if (b->has_lines) {
        (void)api_stream_next(&b->lines, &text);
        begin_line(piece, text);
    } else {
        (void)json_next_element(&b->rest, &text);
        begin_command(piece, text);
    }
}

static void begin_pieces(struct batch *b)
{
    int64_t until_us = clock_monotonic_us() + TURN_US;
    b->is_beginning = true;
    while (b->n_open < b->max_open && b->n_begun < b->n_pieces && clock_monotonic_us() < until_us) {
        begin_piece(b, &b->pieces[b->n_begun++]);
    }
    b->is_beginning = false;
    if (b->n_begun < b->n_pieces && b->n_open < b->max_open) {
        loop_defer(b->whole->api->loop, &b->go_on);
    } else if (b->n_open == 0) {
        finish(b);
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
    buf_init(&b->answers, (size_t)whole->api->options->batch_max_answer_size);
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
    if (!is_list || json_count(commands) > max) {
        char text[96];
        snprintf(text, sizeof(text),
                 "commands: expected a list of at most %zu (http_api.batch_max_commands)", max);
        api_answer_error(call, STATUS_INVALID, text);
        return;
    }
    struct batch *b = create(call, json_count(commands));
    if (b) {
        b->max_open = is_parallel ? MAX_OPEN : 1;
        b->rest = json_walk(commands);
        begin_pieces(b);
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
        begin_pieces(b);
    }
}
