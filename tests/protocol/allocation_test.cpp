// What runs on every hit and every request does not allocate: this program counts what it asks of operator new.
#include <cstdlib>
#include <new>
#include <string>

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>

#include "hex.hpp"
#include "sample_messages.hpp"

namespace {

thread_local std::size_t allocations = 0;

template <typename Work>
std::size_t allocations_of(Work&& work) {
  const std::size_t before = allocations;
  work();
  return allocations - before;
}

}  // namespace

// Not inlined: the compiler would take malloc() for what the other one does not free.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace onced;

TEST_CASE("the counter counts") {
  std::string grown;
  CHECK(allocations_of([&] { grown.assign(1000, 'x'); }) == 1);
}

TEST_CASE("a builder that is reused does not allocate") {
  const std::string fruit = "a fruit with a name longer than a small string";
  KeyBuilder builder("f");
  bool good = true;
  const auto build_some = [&] {
    for (int i = 0; i < 100; ++i) {
      builder.reset("the_name_of_a_function", "v2", 7);
      builder.add(fruit).add(i).add(-1).add(0.5).add(true).add(nullptr).add(Timestamp{5, 6});
      good = good && builder.build_view().ok();
    }
  };
  build_some();
  CHECK(allocations_of(build_some) == 0);
  CHECK(good);
}

TEST_CASE("checking a good key does not allocate") {
  const std::string key =
      test::bytes("94c0a166a0") + test::bytes("83 a161 d6ff00000005 a162 92 cb3ff0000000000000 c403010203 a3636465 81 01 cd0100");
  CHECK(check_key(key).ok());
  CHECK(allocations_of([&] { (void)check_key(key).ok(); }) == 0);
  const std::string deep = test::bytes("94c0a166a0") + std::string(31, '\x91') + '\x90';
  CHECK(allocations_of([&] { (void)check_key(deep).ok(); }) == 0);
}

TEST_CASE("encoding into a buffer that is reused does not allocate") {
  const auto requests = test::sample_requests();
  const auto replies = test::sample_replies();
  std::string frame;
  const auto encode_all = [&] {
    for (const auto& sample : requests) {
      frame.clear();
      protocol::encode(1, sample.second, frame);
    }
    for (const auto& sample : replies) {
      frame.clear();
      protocol::encode(1, sample.second, frame);
    }
  };
  encode_all();
  CHECK(allocations_of(encode_all) == 0);
}
