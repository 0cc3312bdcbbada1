# Writes assets.c and assets.S, which hold the bundled files of the pages. Run as a script, after the
# bundle is made, because the table has the hashes of the files' contents:
#   cmake -DBUNDLE=folder -DTEMPLATE=assets.c.in -DOUT=folder -P EmbedWeb.cmake
set(assets
    "DEMO|index.html|/|text/html"
    "DEMO|app.js|/assets/app.js|text/javascript"
    "DEMO|app.css|/assets/app.css|text/css"
    "DEMO|icon.svg|/assets/icon.svg|image/svg+xml"
    "DOCS|openapi.json|/openapi.json|application/json"
    "DOCS|docs.html|/docs/api|text/html"
    "DOCS|docs.js.gz|/docs/api/docs.js|text/javascript")

set(declarations "")
set(entries "")
set(assembly ".section .rodata\n")
foreach(asset IN LISTS assets)
    string(REPLACE "|" ";" parts "${asset}")
    list(GET parts 0 site)
    list(GET parts 1 file)
    list(GET parts 2 path)
    list(GET parts 3 content_type)
    if(content_type MATCHES "^text/")
        string(APPEND content_type "; charset=utf-8") # here, for it would split the lists above
    endif()
    file(SHA256 ${BUNDLE}/${file} hash)
    string(SUBSTRING ${hash} 0 32 etag)
    file(SIZE ${BUNDLE}/${file} size)
    string(MAKE_C_IDENTIFIER "web_${file}" symbol)
    string(APPEND declarations "extern const unsigned char ${symbol}[];\n")
    set(is_gzip false)
    if(file MATCHES "\\.gz$")
        set(is_gzip true)
    endif()
    string(APPEND entries "    {WEB_${site}, \"${path}\", \"${content_type}\", ${is_gzip}, ${symbol}, ${size}, \"\\\"${etag}\\\"\"},\n")
    string(APPEND assembly ".global ${symbol}\n.hidden ${symbol}\n${symbol}:\n.incbin \"${BUNDLE}/${file}\"\n")
endforeach()
# Without this note the linker would make the program's stack executable.
string(APPEND assembly ".section .note.GNU-stack,\"\",%progbits\n")

# Always written: configure_file() would leave an unchanged one older than what it was made from.
file(READ ${TEMPLATE} template)
string(CONFIGURE "${template}" source @ONLY)
file(WRITE ${OUT}/assets.c "${source}")
file(WRITE ${OUT}/assets.S "${assembly}")
