/* SPDX-License-Identifier: MIT */
/* Unit merge joins texts, not trees: numbers stay as their upstream wrote them. No state; runs on
 * the loop's thread. */
#include "hub/merge.h"

#include <stdlib.h>

#include "base/json_span.h"

static const struct str meta_name = {"_meta", 5};

static void append_comma(struct buf *out, bool *is_first)
{
    if (!*is_first) {
        buf_append_char(out, ',');
    }
    *is_first = false;
}

static void append_value(struct buf *out, struct str value)
{
    if (value.len > 0) {
        json_append_one_line(out, value);
    } else {
        buf_literal(out, "null");
    }
}

/* --- object --- */

/* Part of the document, and not in the way of its "_meta". */
static bool is_member(const struct merge_options *options, const struct merge_part *part)
{
    return !part->is_omitted && !(options->meta && str_eq(part->as, meta_name));
}

static uint64_t name_bit(struct str name)
{
    size_t n = name.len;
    if (n > 0) {
        n = n * 31 + (unsigned char)name.ptr[0] * 7u + (unsigned char)name.ptr[n - 1];
    }
    return UINT64_C(1) << (n & 63);
}

/* The part of this name among the first n, or n. */
static size_t find_part(const struct merge_part *parts, size_t n, struct str as)
{
    size_t i = 0;
    while (i < n && (parts[i].is_omitted || !str_eq(parts[i].as, as))) {
        i++;
    }
    return i;
}

/* The value of the last part of this name from part i on. */
static struct str last_value(const struct merge_part *parts, size_t n_parts, size_t i)
{
    size_t last = i;
    for (size_t k = i + 1; k < n_parts; k++) {
        if (!parts[k].is_omitted && str_eq(parts[k].as, parts[i].as)) {
            last = k;
        }
    }
    return parts[last].value;
}

/* Names that meet are rare, and not to cost those that do not: the bits of the names so far show
 * most of them to be new. */
static bool have_names_of_their_own(const struct merge_part *parts, size_t n_parts)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < n_parts; i++) {
        uint64_t bit = name_bit(parts[i].as);
        if (!parts[i].is_omitted && (seen & bit) && find_part(parts, i, parts[i].as) < i) {
            return false;
        }
        seen |= bit;
    }
    return true;
}

static void append_parts(const struct merge_options *options, const struct merge_part *parts,
                         size_t n_parts, struct buf *out, bool *is_first)
{
    bool are_own = have_names_of_their_own(parts, n_parts);
    for (size_t i = 0; i < n_parts; i++) {
        if (!is_member(options, &parts[i]) || (!are_own && find_part(parts, i, parts[i].as) < i)) {
            continue;
        }
        append_comma(out, is_first);
        json_append_string(out, parts[i].as);
        buf_append_char(out, ':');
        append_value(out, are_own ? parts[i].value : last_value(parts, n_parts, i));
    }
}

/* --- flat --- */

struct member {
    struct str name;    /* decoded */
    struct str raw_key; /* as it stands in its object; empty: it is to be written from the name */
    struct str value;
    size_t decoded_at; /* where the name is among the decoded ones, if the key has escapes */
    bool is_decoded;
    bool is_over; /* a member before it has its value now */
};

struct members {
    struct member *items;
    size_t n_items;
    size_t capacity;
    struct buf decoded; /* names that have escapes */
    bool is_short;      /* of memory */
};

static void add_member(struct members *m, const struct member *member)
{
    if (m->n_items == m->capacity) {
        size_t capacity = m->capacity > 0 ? m->capacity * 2 : 64;
        struct member *items = reallocarray(m->items, capacity, sizeof(*items));
        if (!items) {
            m->is_short = true;
            return;
        }
        m->items = items;
        m->capacity = capacity;
    }
    m->items[m->n_items++] = *member;
}

static void add_object(struct members *m, struct str object)
{
    struct json_walk walk = json_walk(object);
    struct str key;
    struct str value;
    while (!m->is_short && json_next_member(&walk, &key, &value)) {
        struct member member = {.name = key,
                                .raw_key = {key.ptr - 1, key.len + 2},
                                .value = value,
                                .decoded_at = m->decoded.len,
                                .is_decoded = str_find(key, '\\') >= 0};
        if (member.is_decoded) {
            m->is_short = json_decode_string(member.raw_key, &m->decoded) != STATUS_OK;
            member.name.len = m->decoded.len - member.decoded_at;
        }
        add_member(m, &member);
    }
}

static void gather(const struct merge_part *parts, size_t n_parts, struct members *m)
{
    for (size_t i = 0; i < n_parts && !m->is_short; i++) {
        bool is_value = parts[i].value.len > 0;
        if (parts[i].is_omitted) {
            continue;
        }
        if (is_value && json_kind(parts[i].value) == JSON_KIND_OBJECT) {
            add_object(m, parts[i].value);
        } else {
            add_member(m, &(struct member){.name = parts[i].as, .value = parts[i].value});
        }
    }
    /* Only now it does not move any more. */
    for (size_t i = 0; i < m->n_items; i++) {
        if (m->items[i].is_decoded) {
            m->items[i].name.ptr = m->decoded.ptr + m->items[i].decoded_at;
        }
    }
}

/* By name; those of one name as they came. */
static int compare_members(const void *a, const void *b)
{
    const struct member *p = *(const struct member *const *)a;
    const struct member *q = *(const struct member *const *)b;
    if (p->name.len != q->name.len) {
        return p->name.len < q->name.len ? -1 : 1;
    }
    int order = p->name.len > 0 ? memcmp(p->name.ptr, q->name.ptr, p->name.len) : 0;
    return order != 0 ? order : (p > q) - (p < q);
}

/* Gives the first member of each name the value of the last. By sorting: names come from others,
 * and no choice of them makes that slow. */
static void unite(struct members *m)
{
    struct member **sorted = reallocarray(NULL, m->n_items + 1, sizeof(*sorted));
    struct member *first = NULL;
    if (!sorted) {
        m->is_short = true;
        return;
    }
    for (size_t i = 0; i < m->n_items; i++) {
        sorted[i] = &m->items[i];
    }
    qsort(sorted, m->n_items, sizeof(*sorted), compare_members);
    for (size_t i = 0; i < m->n_items; i++) {
        if (first && str_eq(first->name, sorted[i]->name)) {
            first->value = sorted[i]->value;
            sorted[i]->is_over = true;
        } else {
            first = sorted[i];
        }
    }
    free(sorted);
}

static void append_members(const struct merge_options *options, const struct members *m,
                           struct buf *out, bool *is_first)
{
    for (size_t i = 0; i < m->n_items; i++) {
        const struct member *member = &m->items[i];
        if (member->is_over || (options->meta && str_eq(member->name, meta_name))) {
            continue;
        }
        append_comma(out, is_first);
        if (member->raw_key.len > 0) {
            buf_append(out, member->raw_key);
        } else {
            json_append_string(out, member->name);
        }
        buf_append_char(out, ':');
        append_value(out, member->value);
    }
}

static enum status append_flat(const struct merge_options *options, const struct merge_part *parts,
                               size_t n_parts, struct buf *out, bool *is_first)
{
    struct members m = {0};
    buf_init(&m.decoded, SIZE_MAX / 2);
    gather(parts, n_parts, &m);
    if (!m.is_short) {
        unite(&m);
    }
    if (!m.is_short) {
        append_members(options, &m, out, is_first);
    }
    buf_release(&m.decoded);
    free(m.items);
    return m.is_short ? STATUS_NO_MEMORY : STATUS_OK;
}

/* --- array --- */

/* What stands between the brackets. */
static struct str elements_of(struct str array)
{
    array = json_trim(array);
    return json_trim((struct str){array.ptr + 1, array.len - 2});
}

static void append_array(const struct merge_part *parts, size_t n_parts, struct buf *out)
{
    bool is_first = true;
    buf_append_char(out, '[');
    for (size_t i = 0; i < n_parts; i++) {
        struct str value = parts[i].value;
        bool is_array = value.len > 0 && json_kind(value) == JSON_KIND_ARRAY;
        if (is_array) {
            value = elements_of(value);
        }
        if (parts[i].is_omitted || (is_array && value.len == 0)) {
            continue;
        }
        append_comma(out, &is_first);
        append_value(out, value);
    }
    buf_append_char(out, ']');
}

/* --- the whole --- */

static void append_meta_part(const struct merge_part *part, struct buf *out)
{
    json_append_string(out, part->name);
    buf_literal(out, ":{\"outcome\":");
    json_append_string(out, str_of(part->outcome));
    buf_literal(out, ",\"age_ms\":");
    if (part->age_ms >= 0) {
        buf_append_i64(out, part->age_ms);
    } else {
        buf_literal(out, "null");
    }
    buf_append_char(out, '}');
}

static void append_meta(const struct merge_options *options, const struct merge_part *parts,
                        size_t n_parts, struct buf *out)
{
    bool is_first = true;
    buf_literal(out, "\"_meta\":{\"completed\":");
    buf_append(out, options->is_completed ? STR("true") : STR("false"));
    buf_literal(out, ",\"upstreams\":{");
    for (size_t i = 0; i < n_parts; i++) {
        append_comma(out, &is_first);
        append_meta_part(&parts[i], out);
    }
    buf_literal(out, "}}");
}

static enum status append_object(const struct merge_options *options,
                                 const struct merge_part *parts, size_t n_parts, struct buf *out)
{
    enum status status = STATUS_OK;
    bool is_first = true;
    buf_append_char(out, '{');
    if (options->how == FEED_MERGE_FLAT) {
        status = append_flat(options, parts, n_parts, out, &is_first);
    } else {
        append_parts(options, parts, n_parts, out, &is_first);
    }
    if (options->meta) {
        append_comma(out, &is_first);
        append_meta(options, parts, n_parts, out);
    }
    buf_append_char(out, '}');
    return status;
}

enum status merge_parts(const struct merge_options *options, const struct merge_part *parts,
                        size_t n_parts, struct buf *out)
{
    enum status status = STATUS_OK;
    if (options->how == FEED_MERGE_ARRAY) {
        append_array(parts, n_parts, out);
    } else {
        status = append_object(options, parts, n_parts, out);
    }
    return status == STATUS_OK && buf_failed(out) ? STATUS_TOO_LARGE : status;
}

/* --- comparing --- */

/* Passes over "_meta". */
static bool next_content(struct json_walk *walk, struct str *ret_key, struct str *ret_value)
{
    bool has_one;
    do {
        has_one = json_next_member(walk, ret_key, ret_value);
    } while (has_one && json_key_is(*ret_key, meta_name));
    return has_one;
}

static bool has_same_content(struct str a, struct str b)
{
    struct json_walk walk_a = json_walk(a);
    struct json_walk walk_b = json_walk(b);
    struct str key_a, key_b, value_a, value_b;
    for (;;) {
        bool has_a = next_content(&walk_a, &key_a, &value_a);
        bool has_b = next_content(&walk_b, &key_b, &value_b);
        if (!has_a || !has_b) {
            return has_a == has_b;
        }
        if (!str_eq(key_a, key_b) || !str_eq(value_a, value_b)) {
            return false;
        }
    }
}

enum completion { NO_META, NOT_COMPLETED, COMPLETED };

static enum completion completion_of(struct str document)
{
    struct str meta;
    struct str completed = STR_EMPTY;
    if (!json_member(document, meta_name, &meta)) {
        return NO_META;
    }
    return json_member(meta, STR("completed"), &completed) && str_eq(completed, STR("true"))
               ? COMPLETED
               : NOT_COMPLETED;
}

bool merge_is_same(struct str a, struct str b)
{
    a = json_trim(a);
    b = json_trim(b);
    if (json_kind(a) != JSON_KIND_OBJECT || json_kind(b) != JSON_KIND_OBJECT) {
        return str_eq(a, b);
    }
    return completion_of(a) == completion_of(b) && has_same_content(a, b);
}

enum status merge_select(struct str answer, struct str pointer, struct str *ret_value)
{
    return json_pointer(answer, pointer, ret_value) ? STATUS_OK : STATUS_NOT_FOUND;
}
