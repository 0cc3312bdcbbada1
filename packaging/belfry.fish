# Completion of belfry's commands and options, which the program itself names.

function __belfry_options
    set -l words (commandline -opc)
    $words[1] $words[2] --help 2>/dev/null | string replace -rf '^  (--[a-z-]+)(?: [A-Z]+)?  +(.*)' '$1\t$2'
end

complete -c belfry -f -n __fish_use_subcommand \
    -a '(belfry --help | string replace -rf "^  ([a-z]+)  +(.*)" \'$1\t$2\')'
complete -c belfry -n 'not __fish_use_subcommand' -a '(__belfry_options)'
