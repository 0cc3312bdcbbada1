/* SPDX-License-Identifier: MIT */
/* Unit tags_filter keeps a filter as a flat list: each node is followed by its children, and knows
 * where the next one after all of them stands. Texts are kept decoded, behind the nodes, in the one
 * block of memory that a filter is. */
#include "hub/tags_filter.h"

#include <stdlib.h>

#include "base/json_span.h"

#define NODES_MAX  64
#define DEPTH_MAX  16
#define VALUES_MAX 100 /* of all nodes together */
#define TEXT_MAX   8192

enum operation { OP_LEAF, OP_AND, OP_OR, OP_NOT };

enum comparison {
    CMP_EQ,
    CMP_NEQ,
    CMP_IN,
    CMP_NIN,
    CMP_EX,
    CMP_NEX,
    CMP_SW,
    CMP_EW,
    CMP_CT,
    CMP_GT,
    CMP_GTE,
    CMP_LT,
    CMP_LTE,
    N_COMPARISONS,
};

static const char *const comparison_names[N_COMPARISONS] = {
    "eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "gt", "gte", "lt", "lte"};

/* In the filter's texts. */
struct span {
    uint16_t at;
    uint16_t len;
};

struct node {
    uint8_t operation;
    uint8_t comparison;
    uint8_t next; /* index of the first node that is not inside this one */
    uint8_t n_values;
    uint8_t first_value;
    struct span key;
    struct span value;
};

struct tags_filter {
    const struct span *values;
    const char *texts;
    size_t n_nodes;
    struct node nodes[];
};

/* --- reading --- */

struct reader {
    struct node nodes[NODES_MAX];
    struct span values[VALUES_MAX];
    size_t n_nodes;
    size_t n_values;
    struct buf texts;
};

enum { FIELD_OP, FIELD_KEY, FIELD_CMP, FIELD_VAL, FIELD_VALS, FIELD_NODES, N_FIELDS };

static enum status read_text(struct reader *r, struct str json, struct span *ret_span)
{
    size_t at = r->texts.len;
    if (json.len > 0 && json_decode_string(json, &r->texts) != STATUS_OK) {
        return STATUS_INVALID;
    }
    if (buf_failed(&r->texts)) {
        return STATUS_INVALID; /* too long; or, which looks the same, no memory for 8 KB */
    }
    *ret_span = (struct span){.at = (uint16_t)at, .len = (uint16_t)(r->texts.len - at)};
    return STATUS_OK;
}

/* Which of the names the JSON string is; n: none. */
static size_t index_of(struct str json, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (json.len >= 2 && json.ptr[0] == '"' &&
            json_key_is((struct str){json.ptr + 1, json.len - 2}, str_of(names[i]))) {
            return i;
        }
    }
    return n;
}

static enum status read_values(struct reader *r, struct str json, struct node *node)
{
    if (json.len > 0 && json_kind(json) != JSON_KIND_ARRAY) {
        return STATUS_INVALID;
    }
    struct json_walk walk = json_walk(json);
    struct str item;
    node->first_value = (uint8_t)r->n_values;
    while (json.len > 0 && json_next_element(&walk, &item)) {
        if (r->n_values == VALUES_MAX || read_text(r, item, &r->values[r->n_values]) != STATUS_OK) {
            return STATUS_INVALID;
        }
        r->n_values++;
    }
    node->n_values = (uint8_t)(r->n_values - node->first_value);
    return STATUS_OK;
}

static bool takes_values(size_t comparison)
{
    return comparison == CMP_IN || comparison == CMP_NIN;
}

static bool takes_value(size_t comparison)
{
    return !takes_values(comparison) && comparison != CMP_EX && comparison != CMP_NEX;
}

/* An empty member is as good as none: some clients write all of them. */
static bool goes_together(const struct node *node, size_t n_children)
{
    bool has_values = node->n_values > 0;
    switch (node->operation) {
    case OP_LEAF:
        return node->key.len > 0 && n_children == 0 &&
               has_values == takes_values(node->comparison) &&
               (node->value.len == 0 || takes_value(node->comparison));
    case OP_NOT:
        return n_children == 1 && node->key.len == 0 && node->value.len == 0 && !has_values;
    default: return n_children > 0 && node->key.len == 0 && node->value.len == 0 && !has_values;
    }
}

static enum status read_node(struct reader *r, struct str json, size_t depth);

static enum status read_children(struct reader *r, struct str json, size_t depth, size_t *ret_n)
{
    if (json.len > 0 && json_kind(json) != JSON_KIND_ARRAY) {
        return STATUS_INVALID;
    }
    struct json_walk walk = json_walk(json);
    struct str item;
    size_t n = 0;
    while (json.len > 0 && json_next_element(&walk, &item)) {
        if (read_node(r, item, depth + 1) != STATUS_OK) {
            return STATUS_INVALID;
        }
        n++;
    }
    *ret_n = n;
    return STATUS_OK;
}

static enum status read_leaf(struct reader *r, const struct json_field *fields, struct node *node)
{
    if (read_text(r, fields[FIELD_KEY].value, &node->key) != STATUS_OK ||
        read_text(r, fields[FIELD_VAL].value, &node->value) != STATUS_OK) {
        return STATUS_INVALID;
    }
    return read_values(r, fields[FIELD_VALS].value, node);
}

/* Of a node that is no leaf, cmp must be empty. */
static enum status read_kind(const struct json_field *fields, struct node *node)
{
    static const char *const operation_names[] = {"", "and", "or", "not"};
    struct str op = fields[FIELD_OP].value;
    struct str cmp = fields[FIELD_CMP].value;
    size_t operation = op.len > 0 ? index_of(op, operation_names, 4) : OP_LEAF;
    size_t comparison = index_of(cmp, comparison_names, N_COMPARISONS);
    bool has_comparison = cmp.len > 0 && !str_eq(cmp, STR("\"\""));
    if (operation == 4 || (has_comparison && comparison == N_COMPARISONS) ||
        has_comparison != (operation == OP_LEAF)) {
        return STATUS_INVALID;
    }
    node->operation = (uint8_t)operation;
    node->comparison = (uint8_t)comparison;
    return STATUS_OK;
}

static enum status read_node(struct reader *r, struct str json, size_t depth)
{
    struct json_field fields[N_FIELDS] = {
        [FIELD_OP] = {.name = STR("op")},     [FIELD_KEY] = {.name = STR("key")},
        [FIELD_CMP] = {.name = STR("cmp")},   [FIELD_VAL] = {.name = STR("val")},
        [FIELD_VALS] = {.name = STR("vals")}, [FIELD_NODES] = {.name = STR("nodes")}};
    if (depth > DEPTH_MAX || r->n_nodes == NODES_MAX ||
        json_read_object(json, fields, N_FIELDS, NULL) != STATUS_OK) {
        return STATUS_INVALID;
    }
    struct node *node = &r->nodes[r->n_nodes++];
    size_t n_children;
    if (read_kind(fields, node) != STATUS_OK || read_leaf(r, fields, node) != STATUS_OK ||
        read_children(r, fields[FIELD_NODES].value, depth, &n_children) != STATUS_OK) {
        return STATUS_INVALID;
    }
    node->next = (uint8_t)r->n_nodes;
    return goes_together(node, n_children) ? STATUS_OK : STATUS_INVALID;
}

static struct tags_filter *filter_of(const struct reader *r)
{
    size_t nodes_size = r->n_nodes * sizeof(r->nodes[0]);
    size_t values_size = r->n_values * sizeof(r->values[0]);
    struct tags_filter *filter = malloc(sizeof(*filter) + nodes_size + values_size + r->texts.len);
    if (!filter) {
        return NULL;
    }
    struct span *values = (struct span *)(filter->nodes + r->n_nodes);
    char *texts = (char *)(values + r->n_values);
    memcpy(filter->nodes, r->nodes, nodes_size);
    memcpy(values, r->values, values_size);
    if (r->texts.len > 0) {
        memcpy(texts, r->texts.ptr, r->texts.len);
    }
    filter->n_nodes = r->n_nodes;
    filter->values = values;
    filter->texts = texts;
    return filter;
}

enum status tags_filter_create(struct str json, struct tags_filter **ret_filter)
{
    struct reader r = {.n_nodes = 0};
    buf_init(&r.texts, TEXT_MAX);
    enum status status = read_node(&r, json, 1);
    if (status == STATUS_OK) {
        struct tags_filter *filter = filter_of(&r);
        status = filter ? STATUS_OK : STATUS_NO_MEMORY;
        *ret_filter = filter ? filter : *ret_filter;
    }
    buf_release(&r.texts);
    return status;
}

void tags_filter_destroy(struct tags_filter *filter)
{
    free(filter);
}

/* --- numbers: decimal texts, of any length, compared exactly --- */

struct decimal {
    bool is_negative;
    struct str whole;    /* without zeros in front */
    struct str fraction; /* without zeros at the end */
};

static struct str take_digits(struct str *text)
{
    size_t n = 0;
    while (n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9') {
        n++;
    }
    struct str digits = str_head(*text, n);
    *text = str_tail(*text, n);
    return digits;
}

static bool parse_decimal(struct str text, struct decimal *ret_decimal)
{
    struct decimal d = {.is_negative = str_starts_with(text, STR("-"))};
    text = str_tail(text, d.is_negative || str_starts_with(text, STR("+")));
    d.whole = take_digits(&text);
    bool is_number = d.whole.len > 0;
    if (str_starts_with(text, STR("."))) {
        text = str_tail(text, 1);
        d.fraction = take_digits(&text);
        is_number = is_number && d.fraction.len > 0;
    }
    while (d.whole.len > 0 && d.whole.ptr[0] == '0') {
        d.whole = str_tail(d.whole, 1);
    }
    while (d.fraction.len > 0 && d.fraction.ptr[d.fraction.len - 1] == '0') {
        d.fraction.len--;
    }
    d.is_negative = d.is_negative && d.whole.len + d.fraction.len > 0;
    *ret_decimal = d;
    return is_number && text.len == 0;
}

static int compare_text(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_size(const struct decimal *a, const struct decimal *b)
{
    if (a->whole.len != b->whole.len) {
        return a->whole.len < b->whole.len ? -1 : 1;
    }
    int order = compare_text(a->whole, b->whole);
    return order != 0 ? order : compare_text(a->fraction, b->fraction);
}

static int compare_decimals(const struct decimal *a, const struct decimal *b)
{
    if (a->is_negative != b->is_negative) {
        return a->is_negative ? -1 : 1;
    }
    return a->is_negative ? compare_size(b, a) : compare_size(a, b);
}

static bool number_matches(enum comparison comparison, struct str tag, struct str value)
{
    struct decimal a;
    struct decimal b;
    if (!parse_decimal(tag, &a) || !parse_decimal(value, &b)) {
        return false;
    }
    int order = compare_decimals(&a, &b);
    switch (comparison) {
    case CMP_GT: return order > 0;
    case CMP_GTE: return order >= 0;
    case CMP_LT: return order < 0;
    default: return order <= 0;
    }
}

/* --- matching --- */

static struct str text_at(const struct tags_filter *filter, struct span span)
{
    return (struct str){filter->texts + span.at, span.len};
}

static bool is_one_of(const struct tags_filter *filter, const struct node *node, struct str tag)
{
    for (size_t i = 0; i < node->n_values; i++) {
        if (str_eq(text_at(filter, filter->values[node->first_value + i]), tag)) {
            return true;
        }
    }
    return false;
}

static bool ends_with(struct str text, struct str end)
{
    return text.len >= end.len && str_eq(str_tail(text, text.len - end.len), end);
}

static bool contains(struct str text, struct str part)
{
    return part.len == 0 ||
           (text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len) != NULL);
}

static bool tag_matches(const struct tags_filter *filter, const struct node *node, struct str tag)
{
    struct str value = text_at(filter, node->value);
    switch ((enum comparison)node->comparison) {
    case CMP_EQ: return str_eq(tag, value);
    case CMP_NEQ: return !str_eq(tag, value);
    case CMP_IN: return is_one_of(filter, node, tag);
    case CMP_NIN: return !is_one_of(filter, node, tag);
    case CMP_EX: return true;
    case CMP_NEX: return false;
    case CMP_SW: return str_starts_with(tag, value);
    case CMP_EW: return ends_with(tag, value);
    case CMP_CT: return contains(tag, value);
    default: return number_matches((enum comparison)node->comparison, tag, value);
    }
}

static bool absence_matches(const struct node *node)
{
    return node->comparison == CMP_NEQ || node->comparison == CMP_NIN ||
           node->comparison == CMP_NEX;
}

static bool leaf_matches(const struct tags_filter *filter, const struct node *node, struct str tags)
{
    struct str tag;
    if (tags.len == 0 || !json_member(tags, text_at(filter, node->key), &tag)) {
        return absence_matches(node);
    }
    if (json_kind(tag) != JSON_KIND_STRING) {
        return false;
    }
    if (!memchr(tag.ptr, '\\', tag.len)) {
        return tag_matches(filter, node, (struct str){tag.ptr + 1, tag.len - 2});
    }
    struct buf decoded;
    buf_init(&decoded, tag.len);
    bool is_match = json_decode_string(tag, &decoded) == STATUS_OK && !buf_failed(&decoded) &&
                    tag_matches(filter, node, buf_str(&decoded));
    buf_release(&decoded);
    return is_match;
}

static bool node_matches(const struct tags_filter *filter, size_t index, struct str tags)
{
    const struct node *node = &filter->nodes[index];
    if (node->operation == OP_LEAF) {
        return leaf_matches(filter, node, tags);
    }
    for (size_t child = index + 1; child < node->next; child = filter->nodes[child].next) {
        bool is_match = node_matches(filter, child, tags);
        if (node->operation == OP_NOT) {
            return !is_match;
        }
        if (is_match == (node->operation == OP_OR)) {
            return is_match;
        }
    }
    return node->operation == OP_AND;
}

bool tags_filter_matches(const struct tags_filter *filter, struct str tags)
{
    return node_matches(filter, 0, tags);
}
