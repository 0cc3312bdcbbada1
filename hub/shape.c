/* SPDX-License-Identifier: MIT */
/* Unit shape cuts a value by walking its text with all pointers at the same time: they are one
 * tree, and a member or element is looked up in it once. A shape does not change once it is made.
 */
#include "hub/shape.h"

#include <assert.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "hub/hub_internal.h"

enum { POINTERS_MAX = 2 * SHAPE_ITEMS_MAX };

struct pointer {
    struct str *tokens; /* decoded; this memory holds their texts too */
    size_t n_tokens;
    bool is_deny;
};

/* What pointers have in common up to here. */
struct node {
    struct str token;   /* the last one */
    size_t first_child; /* its children are neighbours, sorted by token */
    size_t n_children;
    size_t star;     /* of them, the one for all members or elements; 0: none */
    bool is_allowed; /* a pointer ends here */
    bool is_denied;
    bool leads_to_allowed; /* one goes on from here */
    bool leads_to_denied;
};

struct rename {
    struct str from;
    size_t target;
};

struct shape {
    struct pointer *pointers; /* sorted */
    size_t n_pointers;
    struct node *nodes; /* the first is the root */
    bool has_allow;
    struct rename *renames; /* sorted by from */
    size_t n_renames;
    struct str *targets; /* sorted: the names that members are given, and others may have already */
    char *names;         /* the texts of renames and targets */
    char *group;         /* "": none */
};

/* Any order does, so the cheap one: shorter texts first. */
static int compare(struct str a, struct str b)
{
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return a.len > 0 ? memcmp(a.ptr, b.ptr, a.len) : 0;
}

/* --- creating --- */

static size_t count_tokens(struct str pointer)
{
    size_t n = 0;
    for (size_t i = 0; i < pointer.len; i++) {
        n += pointer.ptr[i] == '/';
    }
    return n;
}

bool shape_pointer_valid(struct str pointer)
{
    size_t n_tokens = count_tokens(pointer);
    return json_pointer_valid(pointer) && n_tokens > 0 && n_tokens <= SHAPE_TOKENS_MAX;
}

static struct pointer read_pointer(const char *text, bool is_deny)
{
    size_t n_tokens = count_tokens(str_of(text));
    struct str *tokens = hub_allocate(n_tokens * sizeof(*tokens) + strlen(text));
    char *at = (char *)(tokens + n_tokens);
    size_t n = 0;
    for (; *text; text++) {
        if (*text == '/') {
            tokens[n++].ptr = at;
            continue;
        }
        bool is_escape = *text == '~';
        text += is_escape;
        *at++ = !is_escape ? *text : *text == '0' ? '~' : '/';
        tokens[n - 1].len++;
    }
    return (struct pointer){tokens, n_tokens, is_deny};
}

static void add_pointers(struct shape *s, const struct config_list *list, bool is_deny)
{
    char *const *texts = list->items;
    for (size_t i = 0; i < list->n_items; i++) {
        s->pointers[s->n_pointers++] = read_pointer(texts[i], is_deny);
    }
}

/* A pointer stands before those that go on from it. */
static int compare_pointers(const void *a, const void *b)
{
    const struct pointer *p = a;
    const struct pointer *q = b;
    for (size_t i = 0; i < p->n_tokens && i < q->n_tokens; i++) {
        int order = compare(p->tokens[i], q->tokens[i]);
        if (order != 0) {
            return order;
        }
    }
    return (p->n_tokens > q->n_tokens) - (p->n_tokens < q->n_tokens);
}

/* Neighbours among the pointers, which have their first tokens in common. */
struct range {
    size_t first;
    size_t end;
    size_t depth;
};

/* Those at the front of the range with the token of the first one. */
static struct range next_child(const struct shape *s, struct range *rest)
{
    struct range child = {rest->first, rest->first, rest->depth + 1};
    struct str token = s->pointers[rest->first].tokens[rest->depth];
    while (child.end < rest->end &&
           compare(s->pointers[child.end].tokens[rest->depth], token) == 0) {
        child.end++;
    }
    rest->first = child.end;
    return child;
}

/* Takes the pointers that end here off the front. */
static void mark(const struct shape *s, struct range *rest, struct node *node)
{
    for (size_t i = rest->first; i < rest->end; i++) {
        bool is_deny = s->pointers[i].is_deny;
        if (s->pointers[i].n_tokens == rest->depth) {
            node->is_denied |= is_deny;
            node->is_allowed |= !is_deny;
            rest->first++;
        } else {
            node->leads_to_denied |= is_deny;
            node->leads_to_allowed |= !is_deny;
        }
    }
}

/* Children are appended to nodes and ranges, of which there are n so far; says how many then. */
static size_t add_children(struct shape *s, struct range *ranges, size_t n, struct node *node)
{
    struct range rest = ranges[node - s->nodes];
    mark(s, &rest, node);
    node->first_child = n;
    while (rest.first < rest.end) {
        struct str token = s->pointers[rest.first].tokens[rest.depth];
        s->nodes[n].token = token;
        node->star = str_eq(token, STR("*")) ? n : node->star;
        ranges[n++] = next_child(s, &rest);
    }
    node->n_children = n - node->first_child;
    return n;
}

static void make_nodes(struct shape *s)
{
    size_t n_max = 1;
    size_t n = 1;
    for (size_t i = 0; i < s->n_pointers; i++) {
        n_max += s->pointers[i].n_tokens;
    }
    struct range *ranges = hub_allocate(n_max * sizeof(*ranges));
    s->nodes = hub_allocate(n_max * sizeof(s->nodes[0]));
    ranges[0] = (struct range){0, s->n_pointers, 0};
    for (size_t i = 0; i < n; i++) {
        n = add_children(s, ranges, n, &s->nodes[i]);
    }
    free(ranges);
}

static void make_pointers(struct shape *s, const struct shape_options *options)
{
    size_t n = options->allow->n_items + options->deny->n_items;
    s->pointers = hub_allocate((n + 1) * sizeof(s->pointers[0]));
    s->has_allow = options->allow->n_items > 0;
    add_pointers(s, options->allow, false);
    add_pointers(s, options->deny, true);
    qsort(s->pointers, n, sizeof(s->pointers[0]), compare_pointers);
    make_nodes(s);
}

/* Of names, and of renames, which begin with one. */
static int compare_names(const void *a, const void *b)
{
    return compare(*(const struct str *)a, *(const struct str *)b);
}

static struct str copy_name(char **at, const char *name)
{
    struct str copy = {*at, strlen(name)};
    memcpy(*at, name, copy.len);
    *at += copy.len;
    return copy;
}

static size_t names_size(const struct config_list *list)
{
    const struct config_pair *pairs = list->items;
    size_t size = 0;
    for (size_t i = 0; i < list->n_items; i++) {
        size += strlen(pairs[i].name) + strlen(pairs[i].text);
    }
    return size;
}

/* The target that is called so, of several always the same; n_renames: none. */
static size_t target_called(const struct shape *s, struct str name)
{
    const struct str *found =
        bsearch(&name, s->targets, s->n_renames, sizeof(s->targets[0]), compare_names);
    return found ? (size_t)(found - s->targets) : s->n_renames;
}

static void make_targets(struct shape *s, const struct config_list *list, char **at)
{
    const struct config_pair *pairs = list->items;
    s->targets = hub_allocate((list->n_items + 1) * sizeof(s->targets[0]));
    for (size_t i = 0; i < list->n_items; i++) {
        s->targets[i] = copy_name(at, pairs[i].text);
    }
    qsort(s->targets, list->n_items, sizeof(s->targets[0]), compare_names);
}

static void make_renames(struct shape *s, const struct config_list *list)
{
    const struct config_pair *pairs = list->items;
    char *at = s->names = hub_allocate(names_size(list) + 1);
    s->n_renames = list->n_items;
    make_targets(s, list, &at);
    s->renames = hub_allocate((list->n_items + 1) * sizeof(s->renames[0]));
    for (size_t i = 0; i < s->n_renames; i++) {
        s->renames[i] =
            (struct rename){copy_name(&at, pairs[i].name), target_called(s, str_of(pairs[i].text))};
    }
    qsort(s->renames, s->n_renames, sizeof(s->renames[0]), compare_names);
}

static char *copy_text(struct str text)
{
    char *copy = hub_allocate(text.len + 1);
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    return copy;
}

struct shape *shape_create(const struct shape_options *options)
{
    struct str group = str_of(options->group);
    assert(options->allow->n_items <= SHAPE_ITEMS_MAX && options->deny->n_items <= SHAPE_ITEMS_MAX);
    assert(options->rename->n_items <= SHAPE_ITEMS_MAX);
    if (options->allow->n_items == 0 && options->deny->n_items == 0 &&
        options->rename->n_items == 0 && group.len == 0) {
        return NULL;
    }
    struct shape *s = hub_allocate(sizeof(*s));
    make_pointers(s, options);
    make_renames(s, options->rename);
    s->group = copy_text(group);
    return s;
}

void shape_destroy(struct shape *shape)
{
    if (!shape) {
        return;
    }
    for (size_t i = 0; i < shape->n_pointers; i++) {
        free(shape->pointers[i].tokens);
    }
    free(shape->pointers);
    free(shape->nodes);
    free(shape->renames);
    free(shape->targets);
    free(shape->names);
    free(shape->group);
    free(shape);
}

/* --- the way down --- */

/* Where a value lies, as the pointers see it: at several nodes where "*" and a name both fit. No
 * two of them have a pointer in common. */
struct place {
    bool is_allowed; /* all of it, but for what is denied */
    size_t n_nodes;
    const struct node *nodes[POINTERS_MAX];
};

struct work {
    const struct shape *shape;
    struct buf *out;
    struct buf key; /* decoded */
    bool is_short;  /* of memory */
};

/* NULL: there is none. */
static const struct node *child_called(const struct work *w, const struct node *node,
                                       struct str token)
{
    const struct node *children = w->shape->nodes + node->first_child;
    size_t first = 0;
    size_t end = node->n_children;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = compare(children[middle].token, token);
        if (order == 0) {
            return &children[middle];
        }
        if (order < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return NULL;
}

/* False: what is there is denied. */
static bool add_node(struct place *place, const struct node *node)
{
    place->is_allowed |= node->is_allowed;
    place->nodes[place->n_nodes++] = node;
    return !node->is_denied;
}

static bool leads_to_allowed(const struct place *place)
{
    bool leads = false;
    for (size_t i = 0; i < place->n_nodes && !leads; i++) {
        leads = place->nodes[i]->leads_to_allowed;
    }
    return leads;
}

static bool leads_to_denied(const struct place *place)
{
    bool leads = false;
    for (size_t i = 0; i < place->n_nodes && !leads; i++) {
        leads = place->nodes[i]->leads_to_denied;
    }
    return leads;
}

static bool is_container(struct str value)
{
    return value.ptr[0] == '{' || value.ptr[0] == '[';
}

/* Goes to the member or element of this name. False: it is not kept. */
static bool enter(const struct work *w, const struct place *outer, struct str token,
                  struct str value, struct place *inner)
{
    inner->is_allowed = outer->is_allowed;
    inner->n_nodes = 0;
    for (size_t i = 0; i < outer->n_nodes; i++) {
        const struct node *star =
            outer->nodes[i]->star > 0 ? &w->shape->nodes[outer->nodes[i]->star] : NULL;
        const struct node *called = child_called(w, outer->nodes[i], token);
        if ((called && !add_node(inner, called)) ||
            (star && star != called && !add_node(inner, star))) {
            return false;
        }
    }
    return inner->is_allowed || (is_container(value) && leads_to_allowed(inner));
}

/* A member's name without escapes; until the next call. */
static struct str decode(struct work *w, struct str raw_key)
{
    if (str_find(raw_key, '\\') < 0) {
        return raw_key;
    }
    struct str with_quotes = {raw_key.ptr - 1, raw_key.len + 2};
    buf_clear(&w->key);
    if (json_decode_string(with_quotes, &w->key) != STATUS_OK) {
        w->is_short = true;
    }
    return buf_str(&w->key);
}

/* --- writing --- */

static void append_value(struct work *w, const struct place *place, struct str value);

static void append_comma(struct work *w, bool *is_first)
{
    buf_append(w->out, *is_first ? STR_EMPTY : STR(","));
    *is_first = false;
}

/* The text from the key's opening quote on. */
static void append_raw_key(struct work *w, struct str raw_key)
{
    buf_append(w->out, (struct str){raw_key.ptr - 1, raw_key.len + 2});
    buf_append_char(w->out, ':');
}

static void append_object(struct work *w, const struct place *place, struct str object)
{
    struct json_walk walk = json_walk(object);
    struct str key;
    struct str item;
    struct place inner;
    bool is_first = true;
    buf_append_char(w->out, '{');
    while (json_next_member(&walk, &key, &item)) {
        if (enter(w, place, decode(w, key), item, &inner)) {
            append_comma(w, &is_first);
            append_raw_key(w, key);
            append_value(w, &inner, item);
        }
    }
    buf_append_char(w->out, '}');
}

static struct str index_text(size_t index, char digits[20])
{
    size_t at = 20;
    do {
        digits[--at] = (char)('0' + index % 10);
        index /= 10;
    } while (index > 0);
    return (struct str){digits + at, 20 - at};
}

static void append_array(struct work *w, const struct place *place, struct str array)
{
    struct json_walk walk = json_walk(array);
    struct str item;
    struct place inner;
    char digits[20];
    bool is_first = true;
    buf_append_char(w->out, '[');
    for (size_t i = 0; json_next_element(&walk, &item); i++) {
        if (enter(w, place, index_text(i, digits), item, &inner)) {
            append_comma(w, &is_first);
            append_value(w, &inner, item);
        }
    }
    buf_append_char(w->out, ']');
}

/* The depth of these calls is that of the longest pointer. */
static void append_value(struct work *w, const struct place *place, struct str value)
{
    if (!is_container(value) || (place->is_allowed && !leads_to_denied(place))) {
        buf_append(w->out, value);
    } else if (value.ptr[0] == '{') {
        append_object(w, place, value);
    } else {
        append_array(w, place, value);
    }
}

/* --- renaming --- */

/* The member whose value a target gets: the last one. */
struct winner {
    struct str raw_key;
    struct str item;
    bool is_written;
};

/* The target that a member is renamed to, or is called as it stands; n_renames: none. */
static size_t target_of(const struct shape *s, struct str name)
{
    const struct rename *rename =
        bsearch(&name, s->renames, s->n_renames, sizeof(s->renames[0]), compare_names);
    return rename ? rename->target : target_called(s, name);
}

static void find_winners(struct work *w, const struct place *root, struct str object,
                         struct winner *winners)
{
    struct json_walk walk = json_walk(object);
    struct str key;
    struct str item;
    struct place inner;
    while (json_next_member(&walk, &key, &item)) {
        struct str name = decode(w, key);
        size_t target = target_of(w->shape, name);
        if (target < w->shape->n_renames && enter(w, root, name, item, &inner)) {
            winners[target] = (struct winner){key, item, false};
        }
    }
}

static void append_winner(struct work *w, const struct place *root, size_t target,
                          struct winner *winner)
{
    struct place inner;
    if (enter(w, root, decode(w, winner->raw_key), winner->item, &inner)) {
        json_append_string(w->out, w->shape->targets[target]);
        buf_append_char(w->out, ':');
        append_value(w, &inner, winner->item);
    }
    winner->is_written = true;
}

static void append_renamed(struct work *w, const struct place *root, struct str object)
{
    struct winner winners[SHAPE_ITEMS_MAX] = {0};
    struct json_walk walk = json_walk(object);
    struct str key;
    struct str item;
    struct place inner;
    bool is_first = true;
    find_winners(w, root, object, winners);
    buf_append_char(w->out, '{');
    while (json_next_member(&walk, &key, &item)) {
        struct str name = decode(w, key);
        size_t target = target_of(w->shape, name);
        bool has_target = target < w->shape->n_renames;
        if (!enter(w, root, name, item, &inner) || (has_target && winners[target].is_written)) {
            continue;
        }
        append_comma(w, &is_first);
        if (has_target) {
            append_winner(w, root, target, &winners[target]);
        } else {
            append_raw_key(w, key);
            append_value(w, &inner, item);
        }
    }
    buf_append_char(w->out, '}');
}

/* --- the whole --- */

enum status shape_apply(const struct shape *shape, struct str value, struct buf *out)
{
    struct work w = {.shape = shape, .out = out};
    struct place root = {.is_allowed = !shape->has_allow, .n_nodes = 1, .nodes = {shape->nodes}};
    bool is_grouped = *shape->group;
    value = json_trim(value);
    buf_init(&w.key, SIZE_MAX / 2);
    if (is_grouped) {
        buf_append_char(out, '{');
        json_append_string(out, str_of(shape->group));
        buf_append_char(out, ':');
    }
    if (shape->n_renames > 0 && value.ptr[0] == '{') {
        append_renamed(&w, &root, value);
    } else {
        append_value(&w, &root, value);
    }
    buf_append(out, is_grouped ? STR("}") : STR_EMPTY);
    buf_release(&w.key);
    return w.is_short ? STATUS_NO_MEMORY : buf_failed(out) ? STATUS_TOO_LARGE : STATUS_OK;
}
