// sessions, and the other commands in one.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>
#include <onced/session.hpp>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

// oncectl with an id in its environment.
struct InSession {
  const Oncectl& oncectl;
  std::string id;
  Outcome operator()(const std::vector<std::string>& words, std::string input = {}) const {
    return run_command(oncectl.words(words), {.input = std::move(input), .environment = {{"ONCED_SESSION", id}}});
  }
};

std::string new_id(const Oncectl& oncectl) {
  const Outcome made = oncectl({"sessions", "new"});
  REQUIRE(made.status == 0);
  REQUIRE(made.out.size() == protocol::session_id_bytes + 1);
  return made.out.substr(0, protocol::session_id_bytes);
}

}  // namespace

TEST_CASE("a session is made, used by all commands, listed, and ended") {
  const Oncectl oncectl;
  const InSession in{oncectl, new_id(oncectl)};
  CHECK(in({"put", "basket", "[1]"}, "apples").status == 0);
  CHECK(in({"get", "basket", "[1]"}).out == "apples");
  CHECK(in({"wait", "basket", "[1]", "--print"}).out == "apples");
  CHECK(in({"explain", "basket", "[1]"}).status == 0);
  CHECK(oncectl({"get", "basket", "[1]"}).status == 1);  // of nobody's
  CHECK(oncectl({"--session", in.id, "get", "basket", "[1]"}).out == "apples");

  const auto ran = in({"run", "-v", "--name", "once", "--", "sh", "-c", "echo ran"});
  CHECK(ran.out == "ran\n");
  CHECK(contains(in({"run", "-v", "--name", "once", "--", "sh", "-c", "echo ran"}).err, "not run"));
  CHECK(contains(oncectl({"run", "-v", "--name", "once", "--", "sh", "-c", "echo ran"}).err, "running it here"));

  const auto rows = lines_of(in({"ls", "--json"}).out);
  REQUIRE(rows.size() == 2);
  for (const json& row : rows) CHECK(row.contains("session"));
  const auto shown = lines_of(in({"sessions", "show", "--json"}).out);
  REQUIRE(shown.size() == 1);
  CHECK(shown[0]["entries"] == 2);
  CHECK(shown[0]["idle_left_ms"] > 0);
  const ContentDigest digest = content_digest(std::as_bytes(std::span(in.id)));
  char first[3];
  std::snprintf(first, sizeof first, "%02x", digest.bytes[0]);
  CHECK(shown[0]["digest"].get<std::string>().substr(0, 2) == first);
  CHECK(contains(oncectl({"sessions", "ls"}).out, shown[0]["digest"].get<std::string>()));

  const Outcome ended = in({"sessions", "end"});
  CHECK(ended.out == "2 values dropped\n");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"get", "basket", "[1]"}, {"ls"}, {"sessions", "show"}}) {
    const Outcome refused = in(words);
    CHECK(refused.status == 5);
    CHECK(contains(refused.err, "has ended"));
    CHECK_FALSE(contains(refused.err, in.id));
  }
  CHECK(contains(oncectl({"sessions", "ls"}).err, "no sessions"));
}

TEST_CASE("a rotation writes the new id, and the old one is dead") {
  const Oncectl oncectl;
  const InSession old{oncectl, new_id(oncectl)};
  CHECK(old({"put", "basket"}, "apples").status == 0);
  const json rotated = parsed(old({"sessions", "rotate", "--json"}).out);
  const InSession fresh{oncectl, rotated["id"]};
  CHECK(fresh.id != old.id);
  CHECK(old({"get", "basket"}).status == 5);
  CHECK(fresh({"get", "basket"}).out == "apples");
  CHECK(fresh({"sessions", "touch"}).status == 0);
  CHECK(old({"sessions", "touch"}).status == 5);
}

TEST_CASE("an id is written by new and rotate alone") {
  const Oncectl oncectl;
  const InSession in{oncectl, new_id(oncectl)};
  in({"put", "basket"}, "apples");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"sessions", "ls"}, {"sessions", "ls", "--json"}, {"sessions", "show"}, {"ls"}, {"ls", "--json"}, {"explain", "basket"},
           {"explain", "basket", "--json"}, {"status", "--json"}, {"stats", "--json"}, {"sessions", "touch"}, {"get", "nothing"}}) {
    const Outcome said = in(words);
    CHECK_FALSE(contains(said.out + said.err, in.id));
  }
}

TEST_CASE("in a session all of it may be dropped, and nothing of others") {
  const Oncectl oncectl;
  const InSession in{oncectl, new_id(oncectl)};
  oncectl.put("basket", "[1]", "everybody's");
  in({"put", "basket", "[1]"}, "mine");
  in({"put", "basket", "[2]"}, "mine");
  CHECK(in({"invalidate", "basket"}).status == 2);
  CHECK(in({"invalidate", "--tag", "x"}).status == 2);
  CHECK(in({"invalidate", "basket", "[1]"}).out == "1 value dropped\n");
  CHECK(in({"invalidate", "--all"}).out == "1 value dropped\n");
  CHECK(oncectl({"get", "basket", "[1]"}).out == "everybody's");
}

TEST_CASE("what is asked of sessions must make sense") {
  const Oncectl oncectl;
  CHECK(oncectl({"sessions", "make"}).status == 2);
  CHECK(oncectl({"sessions", "end"}).status == 2);
  CHECK(oncectl({"sessions", "new", "--idle", "soon"}).status == 2);
  for (const char* const id : {"nonsense", "-h", "--help", "-nonsense"}) {
    const Outcome said = oncectl({"--session", id, "sessions", "end"});
    CHECK(said.status == 5);
    CHECK_FALSE(contains(said.err, id));
  }
  const json made = parsed(oncectl({"sessions", "new", "--idle", "2s", "--age", "1h", "--json"}).out);
  CHECK(made["idle_ttl_ms"] == 2000);
  CHECK(made["absolute_left_ms"] == 3'600'000);
}

TEST_CASE("an empty ONCED_SESSION or --session stores nothing outside all sessions") {
  const Oncectl oncectl;
  const CommandOptions empty{.input = "secret", .environment = {{"ONCED_SESSION", ""}}};
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"put", "f"}, {"get", "f"}, {"run", "--", "echo", "x"}, {"ls"}, {"invalidate", "f"}, {"sessions", "show"}}) {
    CAPTURE(words.front());
    const Outcome outcome = oncectl(words, empty);
    CHECK(outcome.status == 2);
    CHECK(outcome.out.empty());
    CHECK(contains(outcome.err, "unset ONCED_SESSION"));
    CHECK(contains(outcome.err, "oncectl sessions new"));
  }
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--session", "", "put", "f"}, {"put", "f", "--session="}, {"--namespace", "", "put", "f"},
                                               {"--namespace=", "put", "f"}})
    CHECK(oncectl(words, {.input = "secret"}).status == 2);
  CHECK(oncectl({"ls", "--json"}).out.empty());
  CHECK(oncectl({"status"}, empty).status == 0);
  CHECK(oncectl({"ls", "--help"}, empty).status == 0);
  CHECK(oncectl({"sessions", "new"}, empty).status == 0);  // how one gets out of it
}

TEST_CASE("outside sessions ls says of which session a row is, and top who computes there") {
  const Oncectl oncectl;
  oncectl.put("shared", "[]", "x");
  CHECK(contains(oncectl({"ls"}).out, "SESSION"));  // off a terminal every column is there
  Client client = oncectl.client();
  Result<Session> session = client.new_session();
  REQUIRE(session.ok());
  Session& open = *session;
  Result<Key> key = KeyBuilder("basket", {}, open.number()).build();
  REQUIRE(key.ok());
  auto acquired = open.acquire(*key);
  REQUIRE(acquired.ok());
  const json top = parsed(oncectl({"top", "--json"}).out);
  REQUIRE(top["computing"].size() == 1);
  CHECK(contains(top["computing"][0]["holder"].get<std::string>(), "(gunicorn)"));
  CHECK(top["computing"][0]["seconds"].is_number());
  CHECK(contains(oncectl({"top", "--once"}).out, "(gunicorn)"));
  CHECK(contains(oncectl({"ls"}).out, "basket"));
  for (const json& row : lines_of(oncectl({"ls", "--json"}).out)) {
    if (row["function"] == "basket") CHECK(row["session"] == open.number());
    else CHECK_FALSE(row.contains("session"));
  }
}

TEST_CASE("top lives with what is queued in a session") {
  const Oncectl oncectl({"--set", "functions.basket.max_concurrent=1"});
  Client client = oncectl.client();
  Result<Session> session = client.new_session();
  REQUIRE(session.ok());
  Session& open = *session;
  auto first = open.acquire(*KeyBuilder("basket", {}, open.number()).add(1).build());
  REQUIRE(first.ok());
  std::thread other([&] {
    Client another = oncectl.client();
    Result<Session> same = another.session(open.id());
    if (same) (void)same->acquire(*KeyBuilder("basket", {}, open.number()).add(2).build());
  });
  wait_until([&] { return parsed(oncectl({"top", "--json"}).out)["queued"].size() == 1; }, "the one that is queued");
  const Outcome top = oncectl({"top", "--once"});
  CHECK(top.status == 0);
  CHECK(contains(top.out, "1st in the queue"));
  std::get<Computation>(*first).abandon();
  other.join();
}

TEST_CASE("a put that is not kept says why, and does not blame the memory for a session that is full") {
  const Oncectl oncectl({"--set", "sessions.bytes_max=1KiB"});
  std::string id = oncectl({"sessions", "new"}).out;
  id.pop_back();
  const Outcome outcome = oncectl({"put", "f"}, {.input = std::string(10'000, 'x'), .environment = {{"ONCED_SESSION", id}}});
  CHECK(outcome.status == 125);
  CHECK(contains(outcome.err, "not stored: "));
  CHECK(contains(outcome.err, "session"));
  CHECK_FALSE(contains(outcome.err, "Give the daemon more memory"));
}

}  // namespace onced::testing
