/* SPDX-License-Identifier: MIT */
/* Figures with their units. No state. */
#include "tools/top_units.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

#define PRINT(text_, ...) (void)snprintf((text_).text, sizeof((text_).text), __VA_ARGS__)

/* Three digits that count, as long as there are not more before the point. */
static struct top_text with_unit(double number, const char *unit)
{
    struct top_text t;
    int n_decimals = number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2;
    if (number < 0.005) {
        n_decimals = 0;
    }
    PRINT(t, "%.*f%s", n_decimals, number, unit);
    return t;
}

/* names: of 1, step, step * step ..., ending with NULL; from `limit` on a larger one is taken. */
static struct top_text scaled(double number, double step, double limit, const char *const *names)
{
    size_t i = 0;
    while (number >= limit && names[i + 1]) {
        number /= step;
        i++;
    }
    if (i == 0) {
        struct top_text t;
        PRINT(t, "%.0f%s", number, names[0]);
        return t;
    }
    return with_unit(number, names[i]);
}

static struct top_text unknown(void)
{
    return (struct top_text){"-"};
}

struct top_text top_count(double count)
{
    static const char *const names[] = {"", "k", "M", "G", "T", NULL};
    if (isnan(count)) {
        return unknown();
    }
    return count < 100000 ? scaled(count, 1000, INFINITY, names) : scaled(count, 1000, 1000, names);
}

struct top_text top_rate(double per_second)
{
    if (per_second > 0 && per_second < 9.95) {
        struct top_text t;
        PRINT(t, "%.1f", per_second < 0.1 ? 0.1 : per_second);
        return t;
    }
    return top_count(per_second);
}

struct top_text top_duration(double seconds)
{
    if (isnan(seconds)) {
        return unknown();
    }
    if (isinf(seconds)) {
        return (struct top_text){"inf"};
    }
    if (seconds < 0.0009995) {
        static const char *const names[] = {"us", NULL};
        return scaled(seconds * 1e6, 1000, 1000, names);
    }
    return seconds < 0.9995 ? with_unit(seconds * 1e3, "ms") : with_unit(seconds, "s");
}

struct top_text top_bytes(double bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    return isnan(bytes) ? unknown() : scaled(bytes, 1024, 1000, names);
}

struct top_text top_span(double seconds)
{
    struct top_text t;
    if (!(seconds >= 0 && seconds < 1e12)) { /* no time that a hub has been up */
        return unknown();
    }
    long long s = (long long)seconds;
    if (s < 60) {
        PRINT(t, "%llds", s);
    } else if (s < 3600) {
        PRINT(t, "%lldm%02llds", s / 60, s % 60);
    } else if (s < 86400) {
        PRINT(t, "%lldh%02lldm", s / 3600, s / 60 % 60);
    } else {
        PRINT(t, "%lldd%02lldh", s / 86400, s / 3600 % 24);
    }
    return t;
}

struct top_text top_percent(double percent)
{
    struct top_text t;
    if (isnan(percent)) {
        return unknown();
    }
    PRINT(t, "%.*f%%", percent < 99.95 ? 1 : 0, percent);
    return t;
}
