/* The files of the pages, bundled into the program at build time. */
#ifndef BELFRY_WEB_ASSETS_H
#define BELFRY_WEB_ASSETS_H

#include "base/str.h"

enum web_site {
    WEB_DEMO,
    WEB_DOCS, /* what the server API is: /openapi.json, and the page that shows it */
};

struct web_asset {
    enum web_site site;
    const char *path; /* of the URL: "/", "/assets/app.js" */
    const char *content_type;
    bool is_gzip;
    const unsigned char *bytes;
    size_t n_bytes;
    const char *etag; /* quoted, as it stands in the header */
};

/* path: of the URL, without its query. NULL: there is none. */
const struct web_asset *web_asset_find(enum web_site site, struct str path);

#endif
