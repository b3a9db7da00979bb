# The tests of three builds as one suite with one summary, each under its build's name ("asan.protocol"): `./run test`
# hands this to ctest as build/all/CTestTestfile.cmake. ctest reads it; it is no part of the builds.

# The builds' own files call these two. PARSE_ARGV keeps an argument that is a list ("unit;slow") in one piece.
function(add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 given "" "" "")
  _add_test("${build}.${name}" ${given_UNPARSED_ARGUMENTS})
endfunction()
function(set_tests_properties name)
  cmake_parse_arguments(PARSE_ARGV 1 given "" "" "")
  _set_tests_properties("${build}.${name}" ${given_UNPARSED_ARGUMENTS})
endfunction()

# ThreadSanitizer first: its tests take longest.
set(build tsan)
subdirs(../tsan/tests/stress)
set(build release)
subdirs(../release)
set(build asan)
subdirs(../asan)
