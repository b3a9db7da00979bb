# Warnings and sanitizers as one interface target; every target of the project links it, nothing installed does.
add_library(onced_compiler INTERFACE)
target_compile_options(onced_compiler INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
  -Wcast-align -Woverloaded-virtual -Wformat=2 -Werror=return-type -Werror=switch)
# g++ 12 sees overlapping copies in "text" + std::string (GCC bug 105651).
target_compile_options(onced_compiler INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
# What is compiled with a precompiled header: out of one it sees overflows there, too.
add_library(onced_precompiled INTERFACE)
target_compile_options(onced_precompiled INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-stringop-overflow>)
if(ONCED_WERROR)
  target_compile_options(onced_compiler INTERFACE -Werror)
endif()
# Several files of a library in one: what g++ says of types in anonymous namespaces is meant for headers.
if(CMAKE_UNITY_BUILD)
  target_compile_options(onced_compiler INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(ONCED_SANITIZE)
  # With a sanitizer's checks in between g++ sees uninitialized members that are not; the release build asks without them.
  target_compile_options(onced_compiler INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_compile_options(onced_compiler INTERFACE -fsanitize=${ONCED_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(onced_compiler INTERFACE -fsanitize=${ONCED_SANITIZE})
endif()
# Code that nobody waits for when it runs: command lines. What it is made of takes long to optimize.
set(ONCED_LITTLE_OPTIMIZED)
if(ONCED_SANITIZE)
  set(ONCED_LITTLE_OPTIMIZED -O0)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(ONCED_LITTLE_OPTIMIZED -O1 $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # g++ warns at -O1 of the value of an optional that is empty
endif()
find_package(Threads REQUIRED)
target_link_libraries(onced_compiler INTERFACE Threads::Threads)
