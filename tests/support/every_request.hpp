// One request of every kind that clients can send, about the same few things: for tests of a rule that must hold whatever is
// asked. A new kind of request does not compile here until it has an example.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>

namespace onced::testing {

// What the requests are about.
struct Subject {
  std::string key{};      // Acquire, Put, Explain, Invalidate, Cancel, Subscribe
  std::string function{}; // List
  std::string bytes = "put";
  protocol::Token token{}; // TakeUp, Publish, Fail, Abandon, Progress
  protocol::RequestId target = 0;  // Withdraw, Unsubscribe
  std::uint64_t blob = 0;          // Fetch, Release
  std::uint64_t receipt = 0;       // Reserve, Fetch
  std::string namespace_name = "default";
  std::string session_id = std::string(43, 'A');  // OpenSession, RotateSession, EndSession
  std::uint64_t session = 1;                      // TouchSession
};

template <typename Kind>
struct ExampleOf {
  static_assert(sizeof(Kind) == 0, "a new kind of request wants an example here, and a line in the tests that use them");
};

#define ONCED_EXAMPLE(Kind, ...)                                                                        \
  template <>                                                                                          \
  struct ExampleOf<protocol::Kind> {                                                                    \
    static constexpr const char* name = #Kind;                                                         \
    static protocol::Request make([[maybe_unused]] const Subject& about) { return protocol::Kind __VA_ARGS__; } \
  }

template <>
struct ExampleOf<protocol::Hello> {
  static constexpr const char* name = "Hello";
  static protocol::Request make(const Subject& about) {
    protocol::Hello hello;
    hello.protocol_version = limits::protocol_version;
    hello.namespace_name = about.namespace_name;
    hello.client_name = "test";
    hello.wants_mapping = false;
    return hello;
  }
};
template <>
struct ExampleOf<protocol::Acquire> {
  static constexpr const char* name = "Acquire";
  static protocol::Request make(const Subject& about) {
    protocol::Acquire acquire;
    acquire.key = about.key;
    return acquire;
  }
};
ONCED_EXAMPLE(Withdraw, {about.target});
ONCED_EXAMPLE(TakeUp, {about.token});
ONCED_EXAMPLE(Publish, {about.token, {{"", "", about.bytes}}, {}});
ONCED_EXAMPLE(Fail, {about.token, about.bytes, 0});
ONCED_EXAMPLE(Abandon, {about.token});
ONCED_EXAMPLE(Progress, {about.token, 0.5, about.bytes});
ONCED_EXAMPLE(Put, {about.key, {{"", "", about.bytes}}, {}});
ONCED_EXAMPLE(Invalidate, {{protocol::ScopeKind::everything, {}}, false});
ONCED_EXAMPLE(Cancel, {{protocol::ScopeKind::everything, {}}});
ONCED_EXAMPLE(Subscribe, {{protocol::ScopeKind::everything, {}}, 0, 0});
ONCED_EXAMPLE(Unsubscribe, {about.target});
ONCED_EXAMPLE(GetStatus, {});
ONCED_EXAMPLE(GetStats, {});
ONCED_EXAMPLE(List, {about.function, {}});
ONCED_EXAMPLE(Explain, {about.key});
ONCED_EXAMPLE(Reserve, {4096, about.receipt});
ONCED_EXAMPLE(Fetch, {about.blob, about.receipt});
ONCED_EXAMPLE(Release, {{about.blob}});
ONCED_EXAMPLE(NewSession, {});
ONCED_EXAMPLE(OpenSession, {about.session_id});
ONCED_EXAMPLE(RotateSession, {about.session_id});
ONCED_EXAMPLE(TouchSession, {about.session});
ONCED_EXAMPLE(EndSession, {about.session_id});
ONCED_EXAMPLE(ListSessions, {});
ONCED_EXAMPLE(Disk, {});
#undef ONCED_EXAMPLE

struct RequestExample {
  std::string name;
  protocol::Request request;
};
// In the order of protocol::Request; Hello is the first.
inline std::vector<RequestExample> every_request(const Subject& about) {
  return [&]<std::size_t... index>(std::index_sequence<index...>) {
    return std::vector<RequestExample>{
        {ExampleOf<std::variant_alternative_t<index, protocol::Request::Variant>>::name,
         ExampleOf<std::variant_alternative_t<index, protocol::Request::Variant>>::make(about)}...};
  }(std::make_index_sequence<std::variant_size_v<protocol::Request::Variant>>());
}

// Which kinds are not answered.
inline bool has_no_answer(const protocol::Request& request) {
  return std::holds_alternative<protocol::Withdraw>(request) || std::holds_alternative<protocol::TakeUp>(request) ||
         std::holds_alternative<protocol::Progress>(request) || std::holds_alternative<protocol::Release>(request);
}

}  // namespace onced::testing
