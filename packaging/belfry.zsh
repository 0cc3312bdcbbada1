#compdef belfry
# Completion of belfry's commands and options, which the program itself names.

local program=$words[1]
local -a found
if ((CURRENT == 2)); then
    found=(${(f)"$($program --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  +(.*)/\1:\2/p')}"})
    _describe command found
elif [[ $PREFIX == -* ]]; then
    found=(${(f)"$($program $words[2] --help 2>/dev/null | sed -nE 's/^  (--[a-z-]+)[^ ]*( [A-Z]+)?  +(.*)/\1:\3/p')}"} '--help:what the options are')
    _describe option found
else
    _files
fi
