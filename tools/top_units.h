/* Figures in a few letters, for columns: "-" stands for NAN. */
#ifndef BELFRY_TOOLS_TOP_UNITS_H
#define BELFRY_TOOLS_TOP_UNITS_H

#define TOP_UNITS_BYTES 24

struct top_text {
    char text[TOP_UNITS_BYTES];
};

struct top_text top_count(double count);     /* "12345", "1.23M" */
struct top_text top_rate(double per_second); /* "0", "0.4", "12", "1.23M" */
struct top_text
top_duration(double seconds); /* "450us", "12.4ms", "3.5s"; "inf" where it is beyond all bounds */
struct top_text top_bytes(double bytes);     /* "512B", "14.2MiB" */
struct top_text top_span(double seconds);    /* "12s", "5m03s", "2h05m", "3d04h" */
struct top_text top_percent(double percent); /* "3.4%" */

#endif
