// Two namespaces with the same keys: whatever is asked in one, nothing of the other is seen, told or changed.
#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <set>

#include "process/blob_client.hpp"
#include "support/daemon_process.hpp"
#include "support/every_request.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::BlobClient;
using onced::testing::BlobEnd;
using onced::testing::DaemonProcess;
using onced::testing::every_request;
using onced::testing::key_bytes;
using onced::testing::RawClient;

namespace {

// In every value, name and text of the one namespace, and nowhere in the other.
constexpr std::string_view mark = "OF-THE-FIRST";
std::string marked(const std::string& text) { return text + " " + std::string(mark); }

std::string bytes_of(RequestId id, const Reply& reply) {
  std::string bytes;
  encode(id, reply, bytes);
  return bytes;
}

std::string text_of(const Number& number) {
  return std::visit([](const auto& value) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) return value;
    else return std::to_string(value);
  }, number);
}

using Fields = std::map<std::string, std::string>;
Fields own_statistics_of(RawClient& client) {
  client.request(900, GetStats{});
  const auto statistics = client.receive_only<Statistics>();
  Fields fields;
  for (const auto& [name, number] : statistics.fields) {
    // What moves by itself and by asking; and what the user has, who is the same in both.
    if (name == "uptime_seconds" || name.starts_with("turn") || name.starts_with("longest_turn") || name == "connections_per_uid_most") continue;
    fields[name] = text_of(number);
  }
  for (const FunctionStatistics& function : statistics.functions)
    for (const auto& [name, number] : function.fields) fields[function.function + "." + name] = text_of(number);
  return fields;
}

// The first namespace: a value, a stale one, a large one, a failure, a computation with a waiter, reservations, subscribers.
class First {
 public:
  explicit First(const std::string& socket) : client_(socket), listener_(socket), blobs_(socket, "first"), waiter_(socket) {
    client_.hello(true, "first");
    listener_.hello(false, "first");
    waiter_.hello(false, "first");
    put("value", 0);
    put("soft", 60'000);
    client_.request(11, Invalidate{{ScopeKind::key, key_bytes("soft", 1)}, true});
    client_.receive_only<Done>();
    large_.emplace(blobs_.reserve(1 << 20));
    REQUIRE(blobs_.put_filled(key_bytes("large", 1), *large_, marked("large")).stored);
    reserved_.emplace(blobs_.reserve(4096));
    Acquire acquire;
    acquire.key = key_bytes("failed", 1);
    client_.request(12, acquire);
    client_.request(13, Fail{client_.receive_only<Lease>().token, marked("failure"), 600'000});
    client_.receive_only<Done>();
    acquire.key = key_bytes("computing", 1);
    client_.request(14, acquire);
    token_ = client_.receive_only<Lease>().token;
    client_.request(15, Progress{token_, 0.5, marked("progress")});
    acquire.wait_ms = 600'000;
    waiter_.request(16, acquire);
    waiter_.request(17, GetStatus{});
    waiter_.receive_only<StatusReport>();
    listener_.request(18, Subscribe{{ScopeKind::everything, {}}, 0, 0});
    listener_.receive_only<State>();
    before_ = own_statistics_of(client_);
  }

  const Token& token() const { return token_; }
  std::uint64_t large_blob() const { return large_->number(); }
  std::uint64_t reserved_blob() const { return reserved_->number(); }

  // Nothing is different, nobody has heard anything.
  void check_untouched() {
    CHECK(own_statistics_of(client_) == before_);
    Acquire acquire;
    acquire.key = key_bytes("computing", 1);
    client_.request(30, Explain{acquire.key});
    const auto explanation = client_.receive_only<Explanation>();
    CHECK(explanation.row.state == KeyState::computing);
    CHECK(explanation.row.waiting == 1);
    client_.request(31, Explain{key_bytes("value", 1)});
    CHECK(client_.receive_only<Explanation>().row.version == version_);
    for (RawClient* client : {&listener_, &waiter_}) {
      client->request(32, Unsubscribe{999});
      CHECK(client->receive_only<Done>().count == 0);  // and no signal, and no answer, before it
    }
  }

 private:
  void put(const std::string& function, std::uint64_t grace_ms) {
    Put put{key_bytes(function, 1), {{"", marked("type"), marked("value")}}, {}};
    put.retention.grace_ms = grace_ms;
    put.retention.tags = {marked("tag")};
    client_.request(10, put);
    const std::uint64_t version = client_.receive_only<Published>().version;
    if (function == "value") version_ = version;
  }

  RawClient client_;
  RawClient listener_;
  BlobClient blobs_;
  RawClient waiter_;
  std::optional<BlobEnd> large_;
  std::optional<BlobEnd> reserved_;
  Token token_;
  std::uint64_t version_ = 0;
  Fields before_;
};

// Everything that comes for this request; it is answered when what is asked behind it is.
std::vector<Reply> replies_to(RawClient& client, const Request& request) {
  client.request(2, request);
  client.request(3, GetStatus{});
  std::vector<Reply> replies;
  for (;;) {
    auto answer = client.receive();
    if (!answer) return replies;
    const bool last = answer->first == 3;
    CHECK(bytes_of(answer->first, answer->second).find(mark) == std::string::npos);
    if (last) return replies;
    replies.push_back(std::move(answer->second));
  }
}

template <typename Wanted>
const Wanted& only(const std::vector<Reply>& replies) {
  REQUIRE(replies.size() == 1);
  REQUIRE(std::holds_alternative<Wanted>(replies[0]));
  return std::get<Wanted>(replies[0]);
}

}  // namespace

TEST_CASE("whatever is asked in one namespace, nothing of another is seen, told or changed") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "namespaces.first.memory=4MiB", "--set", "namespaces.second.memory=4MiB"}));
  First first(daemon.socket());
  first.check_untouched();
  std::set<std::string> kinds;
  for (const char* function : {"value", "soft", "large", "failed", "computing"}) {
    CAPTURE(function);
    for (const std::uint64_t blob : {first.large_blob(), first.reserved_blob()}) {
      const onced::testing::Subject about{.key = key_bytes(function, 1), .function = function, .token = first.token(), .target = 16, .blob = blob};
      for (const auto& [kind, request] : every_request(about)) {
        CAPTURE(kind);
        kinds.insert(kind);
        RawClient client(daemon.socket());
        client.hello(false, "second");
        const std::vector<Reply> replies = replies_to(client, request);
        // There is nothing, or what the second namespace has of its own: the value of its own Put.
        if (kind == "Publish" || kind == "Fail" || kind == "Abandon") CHECK(only<Refused>(replies).code == ErrorCode::unknown_token);
        if (kind == "Fetch") CHECK(only<Refused>(replies).code == ErrorCode::not_found);
        if (kind == "Acquire") CHECK(only<Lease>(replies).cause == LeaseCause::absent);
        if (kind == "Cancel") CHECK(only<Done>(replies).count == 0);
        if (kind == "Invalidate") CHECK(only<Done>(replies).count == 1);  // of Put
        if (kind == "Unsubscribe") CHECK(only<Done>(replies).count == 0);
        if (kind == "Explain") CHECK(only<Explanation>(replies).row.state == KeyState::absent);
        if (kind == "List") CHECK(only<Listing>(replies).rows.empty());
        if (kind == "Subscribe") CHECK(only<State>(replies).entries.empty());
        first.check_untouched();
      }
    }
  }
  CHECK(kinds.size() == std::variant_size_v<Request::Variant>);

  // By scope, too: what is dropped, ended or heard is of one namespace.
  RawClient client(daemon.socket());
  client.hello(false, "second");
  for (const Scope& scope : {Scope{ScopeKind::key, key_bytes("value", 1)}, Scope{ScopeKind::function, "value"}, Scope{ScopeKind::everything, {}},
                             Scope{ScopeKind::tag, marked("tag")}}) {
    for (const bool soft : {false, true}) CHECK(only<Done>(replies_to(client, Request(Invalidate{scope, soft}))).count == 0);
    if (scope.kind != ScopeKind::tag) CHECK(only<Done>(replies_to(client, Request(Cancel{scope}))).count == 0);
    first.check_untouched();
  }
}

TEST_CASE("the statistics of a namespace in which nothing was asked count nothing") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "namespaces.first.memory=4MiB", "--set", "namespaces.second.memory=4MiB"}));
  const auto of_second = [&] {
    RawClient client(daemon.socket());
    client.hello(false, "second");
    return own_statistics_of(client);
  };
  const Fields before = of_second();
  First first(daemon.socket());
  CHECK(of_second() == before);
  first.check_untouched();
}

TEST_CASE("the memory that a client of one namespace maps has nothing of another's") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "namespaces.first.memory=4MiB", "--set", "namespaces.second.memory=4MiB"}));
  First first(daemon.socket());
  for (const std::string& name : {std::string("first"), std::string("second")}) {
    RawClient client(daemon.socket());
    const Welcome welcome = client.hello(true, name);
    void* const memory = ::mmap(nullptr, welcome.segment_bytes, PROT_READ, MAP_SHARED, client.descriptors().at(0), 0);
    REQUIRE(memory != MAP_FAILED);
    const bool there = std::string_view(static_cast<const char*>(memory), welcome.segment_bytes).find(mark) != std::string_view::npos;
    ::munmap(memory, welcome.segment_bytes);
    CHECK(there == (name == "first"));
  }
}
