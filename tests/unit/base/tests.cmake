foreach(module base64 buf clock config config_diff config_comments config_schema deadlines histogram join json_span log loop notify pattern rng status str trim utf8)
    belfry_unit_test(base ${module})
endforeach()
