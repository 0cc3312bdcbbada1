/* SPDX-License-Identifier: MIT */
/* Unit proxy_encode writes questions to a backend, in the JSON that Centrifugo's backends know. No
 * state. */
#include "hub/proxy_encode.h"

#include "base/base64.h"
#include "base/json_span.h"

/* --- the body --- */

static void append_key(struct buf *out, const char *key)
{
    buf_printf(out, ",\"%s\":", key);
}

static void append_text(struct buf *out, const char *key, struct str text)
{
    append_key(out, key);
    json_append_string(out, text);
}

static void append_text_if_any(struct buf *out, const char *key, struct str text)
{
    if (text.len > 0) {
        append_text(out, key, text);
    }
}

static void append_json_if_any(struct buf *out, const char *key, struct str json)
{
    if (json.len > 0) {
        append_key(out, key);
        buf_append(out, json);
    }
}

static void append_data(const struct proxy_options *options, struct str data, struct buf *out)
{
    if (!options->binary_encoding) {
        append_json_if_any(out, "data", data);
    } else if (data.len > 0) {
        append_key(out, "b64data");
        buf_append_char(out, '"');
        base64_encode(data, out);
        buf_append_char(out, '"');
    }
}

void proxy_encode_body(const struct proxy_options *options, const struct proxy_request *request,
                       struct buf *out)
{
    buf_literal(out, "{\"client\":");
    json_append_string(out, request->client);
    append_text(out, "transport", request->transport);
    append_text(out, "protocol", STR("json"));
    append_text(out, "encoding", options->binary_encoding ? STR("binary") : STR("json"));
    if (request->event != PROXY_CONNECT) {
        append_text(out, "user", request->user);
    }
    append_text_if_any(out, "channel", request->channel);
    append_text_if_any(out, "token", request->token);
    append_text_if_any(out, "method", request->method);
    append_text_if_any(out, "name", request->name);
    append_text_if_any(out, "version", request->version);
    append_data(options, request->data, out);
    append_json_if_any(out, "channels", request->channels);
    if (options->include_connection_meta) {
        append_json_if_any(out, "meta", request->meta);
    }
    buf_append_char(out, '}');
}

/* --- the headers --- */

static bool next_line(struct str *rest, struct str *ret_line)
{
    if (rest->len == 0) {
        return false;
    }
    ptrdiff_t end = str_find(*rest, '\n');
    *ret_line = end < 0 ? *rest : str_head(*rest, (size_t)end);
    *rest = str_tail(*rest, ret_line->len + 1);
    return true;
}

static struct str name_of(struct str line)
{
    ptrdiff_t colon = str_find(line, ':');
    return colon < 0 ? STR_EMPTY : str_head(line, (size_t)colon);
}

static bool is_listed(const struct config_list *list, struct str name)
{
    char *const *names = list->items;
    for (size_t i = 0; i < list->n_items; i++) {
        if (str_eq_nocase(str_of(names[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool has_line(struct str lines, struct str name)
{
    struct str line;
    while (next_line(&lines, &line)) {
        if (str_eq_nocase(name_of(line), name)) {
            return true;
        }
    }
    return false;
}

static void append_static(const struct config_list *list, struct buf *out)
{
    const struct config_pair *pairs = list->items;
    for (size_t i = 0; i < list->n_items; i++) {
        buf_printf(out, "%s: %s\n", pairs[i].name, pairs[i].text);
    }
}

/* The client may have sent one name in several lines: all are passed on. */
static void append_own(const struct config_list *list, struct str lines, struct buf *out)
{
    size_t n_static = out->len;
    struct str line;
    while (next_line(&lines, &line)) {
        struct str name = name_of(line);
        if (is_listed(list, name) && fetch_header_valid(line) &&
            !has_line(str_head(buf_str(out), n_static), name)) {
            buf_append(out, line);
            buf_append_char(out, '\n');
        }
    }
}

/* False when it is no header, which is passed over. The name, being listed, has no escapes. */
static bool make_line(struct str name, struct str value, struct buf *line)
{
    buf_append(line, name);
    buf_literal(line, ": ");
    return json_decode_string(value, line) == STATUS_OK && fetch_header_valid(buf_str(line));
}

static void append_emulated(const struct config_list *list, struct str object, struct buf *out)
{
    struct json_walk walk = json_walk(object);
    struct str name;
    struct str value;
    while (json_next_member(&walk, &name, &value)) {
        if (!is_listed(list, name) || has_line(buf_str(out), name)) {
            continue;
        }
        struct buf line;
        buf_init(&line, name.len + value.len + 2); /* no escape makes a text longer */
        if (make_line(name, value, &line)) {
            buf_append(out, buf_str(&line));
            buf_append_char(out, '\n');
        }
        buf_release(&line);
    }
}

void proxy_encode_headers(const struct proxy_options *options, const struct proxy_request *request,
                          struct buf *out)
{
    append_static(&options->http.static_headers, out);
    append_own(&options->http_headers, request->http_headers, out);
    append_emulated(&options->emulated_headers, request->emulated_headers, out);
}
