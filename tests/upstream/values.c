/* SPDX-License-Identifier: MIT */
/* The values live in a table in memory, bounded in their number; the size of one is bounded by the
 * largest request body. */
#include "tests/upstream/values.h"

#include <stdlib.h>

#include <uthash.h>

#define MAX_VALUES 1000

struct value {
    UT_hash_handle hh;
    struct buf bytes;
    char *content_type;
    size_t name_len;
    char name[];
};

struct values {
    struct value *table;
};

struct values *values_create(void)
{
    return calloc(1, sizeof(struct values));
}

static void value_free(struct values *v, struct value *value)
{
    HASH_DEL(v->table, value);
    buf_release(&value->bytes);
    free(value->content_type);
    free(value);
}

void values_destroy(struct values *v)
{
    if (!v) {
        return;
    }
    struct value *value;
    struct value *next;
    HASH_ITER (hh, v->table, value, next) {
        value_free(v, value);
    }
    free(v);
}

static struct value *find(struct values *v, struct str name)
{
    struct value *value;
    HASH_FIND(hh, v->table, name.ptr, name.len, value);
    return value;
}

static struct value *add(struct values *v, struct str name)
{
    bool has_room = HASH_COUNT(v->table) < MAX_VALUES;
    struct value *value = has_room ? calloc(1, sizeof(*value) + name.len) : NULL;
    if (value) {
        buf_init(&value->bytes, HTTP_MAX_BODY);
        value->name_len = name.len;
        memcpy(value->name, name.ptr, name.len);
        HASH_ADD_KEYPTR(hh, v->table, value->name, value->name_len, value);
    }
    return value;
}

static struct str find_content_type(const struct request *req)
{
    struct str type = http_find_header(req, STR("content-type"));
    return type.len > 0 ? type : STR("application/json");
}

static void put(struct values *v, struct str name, const struct request *req, struct response *res)
{
    struct value *value = find(v, name);
    res->status = value ? 204 : 201;
    if (!value && !(value = add(v, name))) {
        response_error(res, 507, "no room for more than %d values", MAX_VALUES);
        return;
    }
    buf_clear(&value->bytes);
    buf_append(&value->bytes, req->body);
    free(value->content_type);
    value->content_type = str_dup(find_content_type(req));
}

static void get(struct values *v, struct str name, struct response *res)
{
    struct value *value = find(v, name);
    if (!value) {
        response_error(res, 404, "nothing was put there");
        return;
    }
    buf_append(&res->body, buf_str(&value->bytes));
    res->content_type = str_of(value->content_type);
    res->with_etag = true;
}

static void remove_value(struct values *v, struct str name, struct response *res)
{
    struct value *value = find(v, name);
    if (!value) {
        response_error(res, 404, "nothing was put there");
        return;
    }
    value_free(v, value);
    res->status = 204;
}

void values_serve(struct values *v, struct str name, const struct request *req,
                  struct response *res)
{
    if (str_eq(req->method, STR("GET")) || str_eq(req->method, STR("HEAD"))) {
        get(v, name, res);
    } else if (str_eq(req->method, STR("PUT")) || str_eq(req->method, STR("POST"))) {
        put(v, name, req, res);
    } else if (str_eq(req->method, STR("DELETE"))) {
        remove_value(v, name, res);
    } else {
        response_error(res, 405, "GET, HEAD, PUT, POST or DELETE");
    }
}
