/* SPDX-License-Identifier: MIT */
/* The environment variables of the configuration: http_server.port is BELFRY_HTTP_SERVER_PORT. */
#include "base/config_internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define ENVIRONMENT_PREFIX "BELFRY_"
/* No key of the configuration: "belfry top" reads it. */
#define KEY_OF_TOP "BELFRY_KEY"

/* Scalars and lists of texts. */
static bool has_override(const struct config_field *field)
{
    return field->type <= CONFIG_STRINGS;
}

static char environment_letter(char c)
{
    if (c >= 'a' && c <= 'z') {
        return (char)(c - 'a' + 'A');
    }
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
}

char *config_override_name(const struct config_reader *r)
{
    struct buf name = config_text_buf();

    buf_literal(&name, ENVIRONMENT_PREFIX);
    for (size_t i = 0; i < r->path.len; i++) {
        buf_append_char(&name, environment_letter(r->path.ptr[i]));
    }
    return config_text_take(&name);
}

const char *config_override_text(const struct config_reader *r, const struct config_field *field)
{
    if (r->is_request || r->in_lists > 0 || !has_override(field)) {
        return NULL;
    }
    char *name = config_override_name(r);
    const char *text = getenv(name);
    free(name);
    return text;
}

/* Is rest, what follows "BELFRY_" or a group's name and "_", the name of a key of this shape? */
static bool variable_fits(const struct config_shape *shape, struct str rest)
{
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        size_t len = 0;
        while (len < rest.len && field->key[len] &&
               environment_letter(field->key[len]) == rest.ptr[len]) {
            len++;
        }
        if (field->key[len]) {
            continue;
        }
        if (has_override(field) && len == rest.len) {
            return true;
        }
        if (field->type == CONFIG_OBJECT && len < rest.len && rest.ptr[len] == '_' &&
            variable_fits(field->shape, str_tail(rest, len + 1))) {
            return true;
        }
    }
    return false;
}

static bool mentions(struct str document, struct str name)
{
    struct buf reference = config_text_buf();

    buf_literal(&reference, "${");
    buf_append(&reference, name);
    char *text = config_text_take(&reference);
    bool found = document.len > 0 && memmem(document.ptr, document.len, text, strlen(text)) != NULL;
    free(text);
    return found;
}

void config_warn_of_variables(const struct config_shape *shape, struct str document)
{
    const struct str prefix = STR(ENVIRONMENT_PREFIX);

    for (char **variable = environ; variable && *variable; variable++) {
        struct str name = str_of(*variable);
        ptrdiff_t equals = str_find(name, '=');
        name = equals < 0 ? name : str_head(name, (size_t)equals);
        if (str_starts_with(name, prefix) && !variable_fits(shape, str_tail(name, prefix.len)) &&
            !str_eq(name, STR(KEY_OF_TOP)) && !mentions(document, name)) {
            log_warn("config", "unknown_environment_variable", log_str("name", name));
        }
    }
}
