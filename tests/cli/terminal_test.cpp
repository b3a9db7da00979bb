// What a person sees on a terminal: bars while something is waited for, and nothing that would confuse it.
#include <doctest/doctest.h>

#include <csignal>
#include <string>

#include <onced/client.hpp>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

CommandOptions on_terminal() { return {.environment = {{"TERM", "xterm"}, {"NO_COLOR", "1"}}, .terminal = true}; }

Client client_of(const Oncectl& oncectl) {
  ClientOptions options;
  options.socket = oncectl.daemon.socket();
  options.name = "gunicorn";
  options.strict = true;
  return Client(options);
}

}  // namespace

TEST_CASE("bytes that are no text go to a terminal only when they are forced") {
  const Oncectl oncectl;
  oncectl.put("binary", "[]", std::string("\x89PNG\0\xff", 6));
  oncectl.put("text", "[]", "Grüße\n");
  for (const char* command : {"get", "wait"}) {
    CAPTURE(command);
    std::vector<std::string> words{command, "binary"};
    if (std::string(command) == "wait") words.push_back("--print");
    Command refused(oncectl.words(words), on_terminal());
    CHECK(refused.wait() == 2);
    CHECK_FALSE(contains(refused.out(), "PNG"));
    CHECK(contains(refused.out(), "no text (6 B)"));
    CHECK(contains(refused.out(), "> FILE"));
    words.push_back("--force");
    Command forced(oncectl.words(words), on_terminal());
    CHECK(forced.wait() == 0);
    CHECK(contains(forced.out(), "PNG"));
  }
  Command text(oncectl.words({"get", "text"}), on_terminal());
  CHECK(text.wait() == 0);
  CHECK(contains(text.out(), "Grüße"));
  CHECK(oncectl({"get", "binary"}).status == 0);  // no terminal, no question
}

TEST_CASE("wait shows progress and who computes, and begins anew with the next holder") {
  const Oncectl oncectl;
  Client client = client_of(oncectl);
  const Key key = *KeyBuilder("f").build();
  auto first = client.acquire(key);
  REQUIRE(first.ok());
  std::get<Computation>(*first).progress(0.5, "half-way");
  Command wait(oncectl.words({"wait", "f"}), on_terminal());
  wait_until([&] { return contains(wait.out(), " 50 %"); }, "the bar");
  CHECK(contains(wait.out(), "half-way, pid "));
  CHECK(contains(wait.out(), "(gunicorn)"));
  CHECK_FALSE(contains(wait.out(), "nobody computes it"));  // not even in the first frame
  std::get<Computation>(*first).abandon();
  wait_until([&] { return contains(wait.out(), "given up; nobody computes it now"); }, "the end of the first computation");
  auto second = client.acquire(key);
  REQUIRE(second.ok());
  wait_until([&] { return contains(wait.out(), "? %") && contains(wait.out(), "  computing, pid "); }, "the second computation");
  CHECK(std::get<Computation>(*second).publish("x").ok());
  CHECK(wait.wait() == 0);
  CHECK(wait.out().ends_with("\r\x1b[K"));  // nothing is left behind
}

TEST_CASE("run shows that and for whom it waits, and afterwards says so") {
  const Oncectl oncectl;
  const TempDirectory files;
  const std::string go = (files / "go").string();
  const std::vector<std::string> words{"run", "--verbose", "--", "sh", "-c", "while [ ! -e " + go + " ]; do sleep 0.01; done; echo result"};
  Command first(oncectl.words(words));
  wait_until([&] { return oncectl.status()["computing"] == 1; }, "the first run");
  Command second(oncectl.words(words), on_terminal());
  wait_until([&] { return contains(second.out(), "  computing, pid "); }, "the line of the one who waits");
  CHECK(contains(second.out(), "(oncectl)"));
  write_file(go, "");
  CHECK(second.wait() == 0);
  CHECK(contains(second.out(), "waited for another run of it, which took "));
  CHECK(contains(second.out(), "result"));
  CHECK(first.wait() == 0);
  Command third(oncectl.words(words), on_terminal());
  CHECK(third.wait() == 0);
  CHECK(contains(third.out(), "its result was there already"));
  CHECK_FALSE(contains(third.out(), "\x1b[K"));  // what is there at once comes without a bar
}

}  // namespace onced::testing
