/* The files of the page, bundled into the program at build time. */
#ifndef BELFRY_WEB_ASSETS_H
#define BELFRY_WEB_ASSETS_H

#include "base/str.h"

struct web_asset {
    const char *path; /* of the URL: "/", "/assets/app.js" */
    const char *content_type;
    const unsigned char *bytes;
    size_t n_bytes;
    const char *etag; /* quoted, as it stands in the header */
};

/* path: of the URL, without its query. NULL: there is none. */
const struct web_asset *web_asset_find(struct str path);

#endif
