/* SPDX-License-Identifier: MIT */
/* Unit refresh_document makes one document of what the upstreams of a run answered: good answers,
 * last good ones, nulls. */
#include <stdlib.h>

#include "hub/hub_internal.h"
#include "hub/merge.h"
#include "hub/refresh_internal.h"

static enum feed_on_failure policy_of(const struct refresh_part *p)
{
    return (enum feed_on_failure)p->upstream->options->on_failure;
}

/* An upstream that must not fail did. */
static enum status check_required(struct refresh *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct refresh_part *p = &r->parts[i];
        if (refresh_part_is_fresh(p) || policy_of(p) != FEED_ON_FAILURE_FAIL) {
            continue;
        }
        buf_printf(&r->detail, "upstream \"%.*s\" is required and failed: %s",
                   STR_ARG(p->result.name), feed_outcome_name(p->result.failure));
        if (p->result.failure == FEED_HTTP_ERROR) {
            buf_printf(&r->detail, " %d", p->result.http_status);
        }
        return p->result.failure == FEED_TIMEOUT ? STATUS_UPSTREAM_TIMEOUT : STATUS_UPSTREAM_FAILED;
    }
    return STATUS_OK;
}

static enum status shape_part(struct refresh_part *p, struct merge_part *ret_part)
{
    const struct feed_upstream_options *options = p->upstream->options;
    *ret_part = (struct merge_part){
        .as = str_of(*options->as ? options->as : options->name),
        .is_omitted = !p->text && policy_of(p) == FEED_ON_FAILURE_OMIT,
        .name = p->result.name,
        .outcome = feed_outcome_name(p->result.outcome),
        .age_ms = p->result.age_ms,
    };
    if (!p->text) {
        return STATUS_OK;
    }
    ret_part->value = (struct str){p->text->bytes, p->text->len};
    if (!p->upstream->shape) {
        return STATUS_OK;
    }
    enum status status = shape_apply(p->upstream->shape, ret_part->value, &p->shaped);
    ret_part->value = buf_str(&p->shaped);
    return status;
}

static enum status merge_all(struct refresh *r)
{
    const struct feed_options *options = r->feed->options;
    struct merge_part *parts = hub_allocate((r->n_parts + 1) * sizeof(*parts));
    enum status status = STATUS_OK;
    r->is_completed = true;
    for (size_t i = 0; i < r->n_parts && status == STATUS_OK; i++) {
        r->is_completed = r->is_completed && refresh_part_is_fresh(&r->parts[i]);
        status = shape_part(&r->parts[i], &parts[i]);
    }
    if (status == STATUS_OK) {
        const struct merge_options how = {.how = (enum feed_merge)options->merge,
                                          .meta = options->meta,
                                          .is_completed = r->is_completed};
        status = merge_parts(&how, parts, r->n_parts, &r->document);
    }
    free(parts);
    return status;
}

enum status refresh_merge(struct refresh *r)
{
    enum status status = check_required(r);
    if (status != STATUS_OK) {
        return status;
    }
    status = merge_all(r);
    if (status == STATUS_TOO_LARGE) {
        buf_printf(&r->detail, "the document would be larger than %zu bytes", r->document.max);
    } else if (status != STATUS_OK) {
        buf_append(&r->detail, str_of(status_name(status)));
    }
    return status;
}

void refresh_append_failures(const struct refresh *r, struct buf *out)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct feed_upstream_result *result = &r->parts[i].result;
        if (!refresh_part_is_fresh(&r->parts[i])) {
            buf_append(out, out->len > 0 ? STR(" ") : STR_EMPTY);
            buf_append(out, result->name);
            buf_append_char(out, ':');
            buf_append(out, str_of(feed_outcome_name(result->failure)));
        }
    }
}

bool refresh_is_fruitful(const struct refresh *r)
{
    bool has_answer = false;
    for (size_t i = 0; i < r->n_parts; i++) {
        has_answer |= refresh_part_is_fresh(&r->parts[i]);
    }
    return has_answer;
}
