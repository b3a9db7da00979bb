// What becomes of every kind of request, by who sends it: the rows of the access matrix.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "support/every_request.hpp"
#include "support/raw_client.hpp"

namespace onced::testing {

inline std::string outcome_of(const protocol::Reply& reply) {
  if (const auto* refused = std::get_if<protocol::Refused>(&reply)) {
    return "refused " + std::to_string(static_cast<int>(refused->code)) + ": " + refused->text;
  }
  return "reply " + std::to_string(protocol::type_of(reply));
}

// Says HELLO to a namespace and, without waiting for its answer, sends a request behind it. What the daemon answered, in order;
// "end" when it ended the connection. With an empty name: the request without HELLO.
inline std::string outcome(const std::string& socket, const std::string& name, const protocol::Request& request) {
  RawClient client(socket);
  std::string bytes;
  if (!name.empty()) bytes = RawClient::encoded(1, ExampleOf<protocol::Hello>::make({.namespace_name = name}));
  bytes += RawClient::encoded(2, request);
  // The one behind it is answered whatever the request was: a connection that lives says so.
  bytes += RawClient::encoded(3, protocol::GetStatus{});
  client.send(bytes);
  std::string text;
  for (;;) {
    const auto answer = client.receive();
    if (!answer) return text + "end";
    if (answer->first == 3 && std::holds_alternative<protocol::StatusReport>(answer->second)) return text + "alive";
    text += outcome_of(answer->second) + "; ";
  }
}

// For every kind of request, by its name: outcome() in this namespace.
inline std::map<std::string, std::string> outcomes(const std::string& socket, const std::string& name, const Subject& about) {
  std::map<std::string, std::string> result;
  for (const RequestExample& example : every_request(about)) result[example.name] = outcome(socket, name, example.request);
  return result;
}

// What each kind is answered with by a daemon that serves the sender, in every_request()'s order, about things that do not exist yet.
inline std::map<std::string, std::string> outcomes_when_allowed() {
  const auto reply = [](int type) { return "reply 64; reply " + std::to_string(type) + "; alive"; };
  const std::string silent = "reply 64; alive";
  const std::string no_session = "reply 64; refused 17: ";
  const std::string no_disk = "reply 64; refused 14: ";
  const std::string old_token = "reply 64; refused 7: ";
  return {{"Hello", "reply 64; refused 2: "}, {"Acquire", reply(66)}, {"Withdraw", silent}, {"TakeUp", silent}, {"Publish", old_token},
          {"Fail", old_token}, {"Abandon", old_token}, {"Progress", silent}, {"Put", reply(70)}, {"Invalidate", reply(71)},
          {"Cancel", reply(71)}, {"Subscribe", reply(75)}, {"Unsubscribe", reply(71)}, {"GetStatus", reply(76)}, {"GetStats", reply(77)},
          {"List", reply(78)}, {"Explain", reply(79)}, {"Reserve", reply(80)}, {"Fetch", "reply 64; refused 14: "}, {"Release", silent},
          {"NewSession", reply(81)}, {"OpenSession", no_session}, {"RotateSession", no_session}, {"TouchSession", "reply 64; refused 6: "},
          {"EndSession", no_session}, {"ListSessions", reply(82)}, {"Disk", no_disk}};
}

}  // namespace onced::testing
