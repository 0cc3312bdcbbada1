#!/usr/bin/env bash
# What holds for every source file: a floor includes only floors below it, each third-party library has
# one home, no unbounded C functions, no function longer than 70 lines. Prints each offence; 1 if any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
offences=0

offend() {
    printf '%s\n' "$*"
    offences=$((offences + 1))
}

rank() {
    case $1 in
    base) echo 0 ;;
    storage | upstreams) echo 1 ;;
    hub) echo 2 ;;
    protocols) echo 3 ;;
    tools) echo 4 ;;
    esac
}

for floor in base storage upstreams hub protocols tools; do
    while IFS=: read -r file include; do
        other=${include#*\"}
        other=${other%%/*}
        [[ $other == "$floor" ]] || [[ -z $(rank "$other") ]] ||
            (($(rank "$other") < $(rank "$floor"))) ||
            offend "$file: a floor includes only floors below it: $include"
    done < <(grep -rHoE '^#include "[a-z]+/[^"]+"' --include='*.[ch]' "$floor")
done

# home HEADER FOLDER...: who may include it.
home() {
    local header=$1 file
    shift
    while IFS= read -r file; do
        case " $* " in
        *" ${file%%/*} "*) ;;
        *) offend "$file: <$header> is at home in: $*" ;;
        esac
    done < <(grep -rlE "^#include <$header" --include='*.[ch]' base storage upstreams hub protocols tools main.c reload.c reload.h settings.c settings.h)
}
home libwebsockets protocols
home curl/ upstreams
home sqlite3 storage
home jansson base
home pcre2 base
home curses tools
home term.h tools
home openssl/ upstreams hub protocols

while IFS= read -r line; do
    offend "$line: unbounded or unchecked"
done < <(grep -rnE '\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets)\(' --include='*.[ch]' \
    base storage upstreams hub protocols tests/upstream tests/bench tools main.c reload.c settings.c)

while IFS= read -r line; do
    offend "$line"
done < <(find base storage upstreams hub protocols tests/upstream tests/bench tools main.c reload.c settings.c -name '*.c' -print0 |
    xargs -0 awk '
        FNR == 1 { name = "" }
        /^[A-Za-z_].*\(/ && !/;[ \t]*$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
        /^\{/ { start = FNR }
        /^\}/ && start { if (FNR - start > 70) print FILENAME ": " name "() has " FNR - start " lines"; start = 0 }')

while IFS= read -r line; do
    offend "$line: Debian 12's node is 18, which has not got this"
done < <(grep -rnE 'toSorted|toReversed|toSpliced|\.with\(|groupBy|import\.meta\.(dirname|filename)|Promise\.withResolvers|styleText' \
    --include='*.mjs' --exclude-dir=node_modules tests scripts web 2>/dev/null)

((offences == 0)) || exit 1
