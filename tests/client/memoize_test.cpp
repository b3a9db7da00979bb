#include <onced/memoize.hpp>

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <thread>

#include "fake_daemon.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

// A client whose daemon grants a lease for everything, or answers with `stored`.
class Served {
 public:
  Served() {
    ClientOptions options;
    options.socket = daemon_.path();
    options.on_warning = [](std::string_view) {};
    client = std::make_unique<Client>(options);
    std::jthread connecting([&] { CHECK(client->connect().ok()); });
    FakeConnection connection = daemon_.welcome(space_);
    server_ = std::jthread([this, connection = std::move(connection)]() mutable { serve(connection); });
  }
  ~Served() { client.reset(); }

  std::unique_ptr<Client> client;
  // Read them after the call that they are about.
  std::optional<std::string> stored;
  std::string failure;
  int published = 0;

 private:
  void serve(FakeConnection& connection) try {
    for (;;) {
      auto [id, request] = connection.next_request();
      if (std::holds_alternative<protocol::Acquire>(request)) {
        if (!stored) {
          connection.send(id, protocol::Lease{{1, ++last_token_}, 1000, false, protocol::LeaseCause::absent});
          continue;
        }
        protocol::Value value;
        value.parts.push_back({"", "", *stored});
        connection.send(id, value);
      } else if (auto* publish = std::get_if<protocol::Publish>(&request)) {
        stored = publish->parts.at(0).bytes;
        ++published;
        connection.send(id, protocol::Published{1, true});
      } else if (const auto* fail = std::get_if<protocol::Fail>(&request)) {
        failure = fail->text;
        connection.send(id, protocol::Done{});
        failed_ = true;
      }
    }
  } catch (const std::exception&) {  // the client has closed
  }

 public:
  void wait_for_failure() {
    wait_until([&] { return failed_.load(); }, "the failure");
  }

 private:
  FakeDaemon daemon_;
  FakeNamespace space_;
  std::uint64_t last_token_ = 0;
  std::atomic<bool> failed_{false};
  std::jthread server_;
};

// Called first here, then answered from the stored bytes: both give `expected`, with one call of the function.
template <typename Function, typename R, typename... Arguments>
void check_both_ways(Function function, const R& expected, Arguments... arguments) {
  Served served;
  int calls = 0;
  const auto counted = memoize_as<R(Arguments...)>(*served.client, "f", [&](Arguments... each) {
    ++calls;
    return function(std::move(each)...);
  });
  for (int i = 0; i < 2; ++i) {
    const Result<R> result = counted(arguments...);
    REQUIRE_MESSAGE(result.ok(), result.error().text);
    CHECK((*result == expected));
  }
  CHECK(calls == 1);
  CHECK(served.published == 1);
}

}  // namespace

TEST_CASE("results come back as they were, whoever computed them") {
  check_both_ways([](int a, double b) { return a * b; }, 3.0, 2, 1.5);
  check_both_ways([](std::string name) { return std::map<std::string, std::vector<int>>{{name, {1, 2}}}; },
                  std::map<std::string, std::vector<int>>{{"x", {1, 2}}}, std::string("x"));
}

TEST_CASE("results that say little are results: nothing, an empty list, nil") {
  check_both_ways([](int) { return std::optional<int>(); }, std::optional<int>(), 1);
  check_both_ways([] { return std::vector<int>(); }, std::vector<int>());
  Served served;
  const auto function = memoize(*served.client, "f", [] { return msgpack::type::nil_t(); });
  CHECK(function().ok());
  CHECK(function().ok());
  CHECK(served.published == 1);
}

TEST_CASE("arguments and results may be of types that only move") {
  Served served;
  int calls = 0;
  const auto doubled = memoize(*served.client, "f", [&](std::unique_ptr<int> number, const std::string& text) {
    ++calls;
    CHECK(text == "text");
    return std::make_unique<int>(*number * 2);
  });
  for (int i = 0; i < 2; ++i) {
    Result<std::unique_ptr<int>> result = doubled(std::make_unique<int>(21), "text");
    REQUIRE(result.ok());
    CHECK(**result == 42);
  }
  CHECK(calls == 1);
  CHECK(doubled.key_of(std::make_unique<int>(21), "text").ok());
}

TEST_CASE("a function may return a reference: its result is a copy") {
  Served served;
  const std::string text = "the same for all";
  const auto function = memoize(*served.client, "f", [&](int) -> const std::string& { return text; });
  const Result<std::string> first = function(1);
  const Result<std::string> second = function(1);
  CHECK(*first == text);
  CHECK(*second == text);
}

TEST_CASE("what the function throws is told to the others and thrown here") {
  Served served;
  const auto function = memoize(*served.client, "f", [](int) -> int { throw std::runtime_error("no such fruit"); });
  CHECK_THROWS_WITH_AS(static_cast<void>(function(1)), "no such fruit", std::runtime_error);
  served.wait_for_failure();
  CHECK(served.failure == "no such fruit");
  CHECK(served.published == 0);
}

TEST_CASE("stored bytes that are not of the result's type are an error; the function is not called over them") {
  for (const std::string& bytes : {std::string(), std::string("\xc1"), std::string("\x93\x01"), std::string("\xa3" "abc"),
                                   std::string("\xdd\xff\xff\xff\xff", 5), std::string("\xc0")}) {
    Served served;
    served.stored = bytes;
    const auto function = memoize(*served.client, "prices", [](int) {
      FAIL("called");
      return std::vector<int>();
    });
    const auto result = function(1);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::malformed);
    CHECK(result.error().text.find("prices") != std::string::npos);
    CHECK(served.published == 0);
  }
}
