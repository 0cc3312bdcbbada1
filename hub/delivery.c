/* SPDX-License-Identifier: MIT */
/* Unit delivery encodes what is on its way to a channel's subscribers: each frame when the first
 * one needs it, once. Loop's thread only. */
#include "hub/delivery.h"

#include <stddef.h>
#include <stdlib.h>

#include "hub/delta.h"

#define FRAME_MAX_BYTES ((size_t)1 << 31)

struct patch {
    bool is_known;
    struct str text; /* empty: there is none */
};

/* Frames of single publications, in one variant and format. */
struct frames_of_one {
    struct frame *frames[JOIN_MAX_PUBLICATIONS];
};

struct special_frames {
    struct frame *joined[N_VARIANTS][WIRE_FORMATS_MAX];
    struct frames_of_one *of_one[N_VARIANTS][WIRE_FORMATS_MAX];
    struct patch patches[JOIN_MAX_PUBLICATIONS];
    struct frame *of_some; /* the last one: filters are often the same */
    const struct wire_format *of_some_format;
    uint64_t of_some_mask;
};

/* --- life --- */

void delivery_writer_init(struct delivery_writer *w)
{
    *w = (struct delivery_writer){.n_deltas = 0};
    buf_init(&w->scratch, FRAME_MAX_BYTES);
    buf_init(&w->patch, FRAME_MAX_BYTES);
}

void delivery_writer_release(struct delivery_writer *w)
{
    buf_release(&w->scratch);
    buf_release(&w->patch);
}

struct delivery *delivery_create(size_t n_places, struct publication *base)
{
    struct delivery *d = calloc(1, sizeof(*d));
    if (d) {
        d->end = n_places;
        d->base = base ? publication_ref(base) : NULL;
    }
    return d;
}

struct delivery *delivery_create_event(size_t n_places, enum presence_event event, struct str info)
{
    struct delivery *d = calloc(1, offsetof(struct delivery, publications) + info.len + 1);
    if (d) {
        char *copy = (char *)d + offsetof(struct delivery, publications);
        memcpy(copy, info.ptr, info.len);
        d->end = n_places;
        d->event = event;
        d->info = (struct str){copy, info.len};
    }
    return d;
}

static void free_frames_of_one(struct frames_of_one *of_one, size_t n)
{
    for (size_t i = 0; of_one && i < n; i++) {
        frame_unref(of_one->frames[i]);
    }
    free(of_one);
}

static void free_special(struct special_frames *s, size_t n_publications)
{
    if (!s) {
        return;
    }
    for (size_t variant = 0; variant < N_VARIANTS; variant++) {
        for (size_t format = 0; format < WIRE_FORMATS_MAX; format++) {
            frame_unref(s->joined[variant][format]);
            free_frames_of_one(s->of_one[variant][format], n_publications);
        }
    }
    for (size_t i = 0; i < n_publications; i++) {
        free((char *)s->patches[i].text.ptr);
    }
    frame_unref(s->of_some);
    free(s);
}

void delivery_free(struct delivery *d)
{
    for (size_t i = 0; i < d->n_publications; i++) {
        publication_unref(d->publications[i]);
    }
    for (size_t i = 0; i < WIRE_FORMATS_MAX; i++) {
        frame_unref(d->frames[i]);
    }
    free_special(d->special, d->n_publications);
    publication_unref(d->base);
    free(d);
}

/* NULL when memory is short. */
static struct special_frames *special_of(struct delivery *d)
{
    if (!d->special) {
        d->special = calloc(1, sizeof(*d->special));
    }
    return d->special;
}

/* --- patches --- */

static struct str make_patch(struct delivery_writer *w, const struct publication *base,
                             const struct publication *p)
{
    buf_clear(&w->patch);
    if (!base || !p->delta) {
        return STR_EMPTY;
    }
    if (!delta_make(base->data, p->data, &w->patch)) {
        w->n_full++;
        return STR_EMPTY;
    }
    char *text = str_dup(buf_str(&w->patch));
    w->n_deltas += text != NULL;
    return text ? (struct str){text, w->patch.len} : STR_EMPTY;
}

/* Each is given against the one before it. */
static struct str patch_of(struct delivery_writer *w, struct delivery *d, size_t i)
{
    struct patch *patch = &d->special->patches[i];
    if (!patch->is_known) {
        patch->is_known = true;
        patch->text = make_patch(w, i > 0 ? d->publications[i - 1] : d->base, d->publications[i]);
    }
    return patch->text;
}

/* --- encoding --- */

static void append_publication(struct delivery_writer *w, struct delivery *d, struct str channel,
                               const struct wire_format *format, enum delivery_variant variant,
                               size_t i)
{
    enum publication_form form = variant == VARIANT_JSON ? FORM_JSON : FORM_TEXT;
    struct str patch = STR_EMPTY;
    if (variant == VARIANT_DELTA || (variant == VARIANT_TEXT && i > 0)) {
        patch = patch_of(w, d, i);
        form = patch.len > 0 ? FORM_DELTA : FORM_TEXT;
    }
    buf_append(&w->scratch, format->before);
    format->publication(format, &w->scratch, channel, d->publications[i], form, patch);
    buf_append(&w->scratch, format->after);
}

static struct frame *frame_of_scratch(const struct delivery_writer *w)
{
    return buf_failed(&w->scratch) ? NULL : frame_create(buf_str(&w->scratch));
}

static struct frame *encode(struct delivery_writer *w, struct delivery *d, struct str channel,
                            const struct wire_format *format, enum delivery_variant variant,
                            uint64_t mask)
{
    buf_clear(&w->scratch);
    for (size_t i = 0; i < d->n_publications; i++) {
        if (mask >> i & 1) {
            buf_append(&w->scratch, w->scratch.len > 0 ? format->between : STR_EMPTY);
            append_publication(w, d, channel, format, variant, i);
        }
    }
    return frame_of_scratch(w);
}

struct frame *delivery_event_frame(struct delivery_writer *w, struct delivery *d,
                                   struct str channel, const struct wire_format *format)
{
    struct frame **frame = &d->frames[format->index];
    if (!*frame) {
        buf_clear(&w->scratch);
        buf_append(&w->scratch, format->before);
        (d->event == PRESENCE_JOIN ? format->join : format->leave)(format, &w->scratch, channel,
                                                                   d->info);
        buf_append(&w->scratch, format->after);
        *frame = frame_of_scratch(w);
    }
    return *frame;
}

struct frame *delivery_frame(struct delivery_writer *w, struct delivery *d, struct str channel,
                             const struct wire_format *format, enum delivery_variant variant)
{
    if (variant != VARIANT_JSON && !special_of(d)) {
        return NULL;
    }
    if (variant == VARIANT_DELTA && patch_of(w, d, 0).len == 0) {
        variant = VARIANT_TEXT; /* which is the same then */
    }
    struct frame **frame = variant == VARIANT_JSON ? &d->frames[format->index]
                                                   : &d->special->joined[variant][format->index];
    if (!*frame) {
        *frame = encode(w, d, channel, format, variant, delivery_all(d));
    }
    return *frame;
}

struct frame *delivery_frame_of_one(struct delivery_writer *w, struct delivery *d,
                                    struct str channel, const struct wire_format *format,
                                    enum delivery_variant variant, size_t i)
{
    if (!special_of(d)) {
        return NULL;
    }
    struct frames_of_one **of_one = &d->special->of_one[variant][format->index];
    if (!*of_one) {
        *of_one = calloc(1, sizeof(**of_one));
    }
    if (*of_one && !(*of_one)->frames[i]) {
        (*of_one)->frames[i] = encode(w, d, channel, format, variant, UINT64_C(1) << i);
    }
    return *of_one ? (*of_one)->frames[i] : NULL;
}

struct frame *delivery_frame_of_some(struct delivery_writer *w, struct delivery *d,
                                     struct str channel, const struct wire_format *format,
                                     uint64_t mask)
{
    struct special_frames *s = special_of(d);
    if (s && !(s->of_some && s->of_some_format == format && s->of_some_mask == mask)) {
        frame_unref(s->of_some);
        s->of_some = encode(w, d, channel, format, VARIANT_JSON, mask);
        s->of_some_format = format;
        s->of_some_mask = mask;
    }
    return s ? s->of_some : NULL;
}
