/* SPDX-License-Identifier: MIT */
/* The demo's data. The place gives each series its level, the time slot moves it a little, as a
 * station's readings would. */
#include "tests/upstream/demo.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define SLOT_SECONDS       5
#define EVENT_SLOT_SECONDS 30
#define DAY_SECONDS        86400

static int64_t slot_start(int64_t slot_seconds)
{
    int64_t now = clock_wall_ms() / 1000;
    return now - now % slot_seconds;
}

/* A number that belongs to a place, a series and a time. */
static uint64_t mix(struct str place, uint64_t series, int64_t time)
{
    uint64_t h = 0xcbf29ce484222325U ^ series;
    for (size_t i = 0; i < place.len; i++) {
        h = (h ^ (unsigned char)place.ptr[i]) * 0x100000001b3U;
    }
    h = (h ^ (uint64_t)time) * 0x9e3779b97f4a7c15U;
    h = (h ^ (h >> 32)) * 0xbf58476d1ce4e5b9U;
    return h ^ (h >> 29);
}

/* Tenths: a level between min and max that belongs to the place, and a swing around it. */
static int reading(struct str place, uint64_t series, int64_t time, int min, int max, int swing)
{
    int level = min + (int)(mix(place, series, 0) % (uint64_t)(max - min + 1));
    return level + (int)(mix(place, series, time) % (uint64_t)(2 * swing + 1)) - swing;
}

static void member(struct response *res, const char *name, int tenths)
{
    buf_printf(&res->body, ",\"%s\":%s%d.%d", name, tenths < 0 ? "-" : "", abs(tenths) / 10,
               abs(tenths) % 10);
}

static void member_time(struct response *res, const char *name, int64_t seconds)
{
    char text[32];
    time_t t = (time_t)seconds;
    struct tm utc;
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
    buf_printf(&res->body, ",\"%s\":\"%s\"", name, text);
}

void demo_weather(struct response *res, struct str city)
{
    static const char *const conditions[] = {"sunny", "fair", "cloudy", "rain", "showers", "fog"};
    int64_t now = slot_start(SLOT_SECONDS);
    /* The sky changes every ten minutes only. */
    const char *condition = conditions[mix(city, 3, now / 600) % 6];

    buf_literal(&res->body, "{\"city\":");
    response_text(res, city);
    member(res, "temperature_c", reading(city, 1, now, 20, 280, 6));
    member(res, "wind_kmh", reading(city, 2, now, 40, 300, 25));
    buf_printf(&res->body, ",\"condition\":\"%s\"", condition);
    member_time(res, "observed_at", now);
    buf_append_char(&res->body, '}');
}

void demo_air(struct response *res, struct str city)
{
    int64_t now = slot_start(SLOT_SECONDS);
    int pm25 = reading(city, 4, now, 40, 350, 15);
    const char *index = pm25 < 100   ? "good"
                        : pm25 < 200 ? "fair"
                        : pm25 < 250 ? "moderate"
                                     : "poor";

    buf_literal(&res->body, "{\"city\":");
    response_text(res, city);
    member(res, "pm25", pm25);
    member(res, "no2", reading(city, 5, now, 80, 600, 30));
    buf_printf(&res->body, ",\"index\":\"%s\"", index);
    member_time(res, "measured_at", now);
    buf_append_char(&res->body, '}');
}

static void append_event(struct response *res, struct str near, uint64_t id, int64_t now)
{
    static const char *const titles[] = {"Jazz in the Old Mill",   "Night Market",
                                         "Bell Ringers' Concert",  "Open-Air Cinema",
                                         "City Half Marathon",     "Poetry at the Harbour",
                                         "Puppet Theatre Weekend", "Street Food Day"};
    static const char *const venues[] = {"Town Hall",     "Riverside Park",  "Museum Court",
                                         "Old Mill",      "Central Library", "Harbour Stage",
                                         "Market Square", "Bell Tower"};
    static const char *const cents[] = {"00", "50", "90"};
    uint64_t h = mix(near, 7 + id, now / EVENT_SLOT_SECONDS);
    /* An evening in the next fortnight. */
    int64_t day = now - now % DAY_SECONDS + (int64_t)(1 + h % 14) * DAY_SECONDS;

    buf_printf(&res->body, "{\"id\":%u,\"title\":\"%s\",\"venue\":\"%s\"", (unsigned)id + 1,
               titles[(h >> 8) % 8], venues[(h >> 16) % 8]);
    member_time(res, "starts_at", day + (int64_t)(18 + (h >> 24) % 4) * 3600);
    buf_printf(&res->body, ",\"price\":\"%u.%s\",\"seats_left\":%u}",
               (unsigned)(5 + (h >> 32) % 40), cents[(h >> 40) % 3], (unsigned)((h >> 48) % 120));
}

void demo_events(struct response *res, struct str near)
{
    int64_t now = slot_start(EVENT_SLOT_SECONDS);
    uint64_t total = 3 + mix(near, 6, 0) % 4;
    buf_literal(&res->body, "{\"items\":[");
    for (uint64_t i = 0; i < total; i++) {
        if (i > 0) {
            buf_append_char(&res->body, ',');
        }
        append_event(res, near, i, now);
    }
    buf_printf(&res->body, "],\"total\":%u}", (unsigned)total);
}
