# One interface target per library: what its headers need to compile under every compiler we support, in one place.

# Boost: headers only (Asio, Interprocess). 1.74 is the floor (Debian 12); with g++ 12 its coroutine headers want <utility> to have been
# included before any of Asio's. clang does not detect coroutines in 1.74 by itself.
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # CMake 3.30 has no FindBoost of its own any more: Boost's own configuration, then
endif()
find_package(Boost 1.74 REQUIRED)
add_library(onced_boost INTERFACE)
target_include_directories(onced_boost SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_compile_definitions(onced_boost INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_CO_AWAIT=1
  BOOST_ASIO_HAS_STD_COROUTINE=1 BOOST_ERROR_CODE_HEADER_ONLY)

# msgpack-c for C++ without its optional Boost part, so that our public headers stay free of Boost.
find_path(MSGPACK_INCLUDE_DIR msgpack.hpp REQUIRED)
add_library(onced_msgpack INTERFACE)
target_include_directories(onced_msgpack SYSTEM INTERFACE $<BUILD_INTERFACE:${MSGPACK_INCLUDE_DIR}>)
target_compile_definitions(onced_msgpack INTERFACE MSGPACK_NO_BOOST)

# xxHash, inlined: a key's hash is on the hit path.
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
add_library(onced_xxhash INTERFACE)
target_include_directories(onced_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})
target_compile_definitions(onced_xxhash INTERFACE XXH_INLINE_ALL)

# zstd: parts in the disk tier's log.
find_path(ZSTD_INCLUDE_DIR zstd.h REQUIRED)
find_library(ZSTD_LIBRARY zstd REQUIRED)

find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
add_library(onced_toml INTERFACE)
target_include_directories(onced_toml SYSTEM INTERFACE ${TOMLPLUSPLUS_INCLUDE_DIR})
if(ONCED_TESTS)
  find_package(doctest REQUIRED)
endif()
