// What a person sees on a terminal: bars while something is waited for, and nothing that would confuse it.
#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <sstream>
#include <string>
#include <vector>

#include <onced/client.hpp>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
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
    CHECK(contains(refused.out(), "no plain text (6 B)"));
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

TEST_CASE("a value that would steer the terminal goes there only when it is forced") {
  const Oncectl oncectl;
  const std::string title = "\x1b]0;owned\a";
  for (const std::string& value : {title, std::string(200'000, 'x') + title, std::string("\xc2\x9b" "31m")}) {
    CHECK(oncectl({"put", "steering"}, {.input = value}).status == 0);
    Command refused(oncectl.words({"get", "steering"}), on_terminal());
    CHECK(refused.wait() == 2);
    CHECK(contains(refused.out(), "no plain text"));
    CHECK_FALSE(contains(refused.out(), "\x1b"));
    CHECK_FALSE(contains(refused.out(), "\xc2\x9b"));
    CHECK(oncectl({"get", "steering"}).out == value);
  }
  CHECK(oncectl({"put", "steering"}, {.input = title}).status == 0);
  Command forced(oncectl.words({"get", "steering", "--force"}), on_terminal());
  CHECK(forced.wait() == 0);
  CHECK(contains(forced.out(), title));
}

TEST_CASE("wait shows progress and who computes, and begins anew with the next holder") {
  const Oncectl oncectl;
  Client client = oncectl.client();
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

TEST_CASE("one Ctrl-D at the beginning of a line ends what is typed to put, as it does for cat") {
  const Oncectl oncectl;
  Command put(oncectl.words({"put", "typed"}), on_terminal());
  wait_until([&] { return contains(put.out() + put.err(), "Ctrl-D ends it"); }, "the prompt");
  put.type("abc\n\x04");
  CHECK(put.wait() == 0);
  CHECK(oncectl({"get", "typed"}).out == "abc\n");
}

TEST_CASE("doctor's lines are wrapped at the terminal's width") {
  const Oncectl oncectl;
  CommandOptions options = on_terminal();
  options.columns = 80;
  Command doctor(oncectl.words({"doctor"}), std::move(options));
  CHECK(doctor.wait() == 0);
  std::istringstream lines(doctor.out());
  std::size_t continued = 0;
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && line.back() == '\r') line.pop_back();
    CAPTURE(line);
    CHECK(line.size() <= 80);
    continued += line.starts_with("                   ") ? 1U : 0U;
  }
  CHECK(continued > 0);
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

TEST_CASE("top shows who computes what, follows it, and gives the terminal back") {
  const Oncectl oncectl;
  Client client = oncectl.client();
  auto first = client.acquire(*KeyBuilder("report", "v1").add(7).build());
  REQUIRE(first.ok());
  for (const std::string end : {"\x03", "q"}) {
    Command top(oncectl.words({"top", "--interval", "100ms"}), on_terminal());
    wait_until([&] { return contains(top.out(), "report@v1(7)"); }, "the computation");
    CHECK(contains(top.out(), "(gunicorn)"));
    std::get<Computation>(*first).progress(end == "q" ? 0.75 : 0.25, "some way");
    wait_until([&] { return contains(top.out(), end == "q" ? "75 %" : "25 %") && contains(top.out(), "some way"); }, "its progress");
    CHECK(contains(top.out(), "\x1b[?1049h"));
    CHECK_FALSE(contains(top.out(), "\x1b[31m"));
    top.type(end);
    CHECK(top.wait() == 0);
    CHECK(top.out().ends_with("\x1b[?25h\x1b[?1049l"));
  }
  CHECK(std::get<Computation>(*first).publish("x").ok());
  Command top(oncectl.words({"top"}), on_terminal());
  wait_until([&] { return contains(top.out(), "nothing is being computed"); }, "the end of the computation");
  CHECK(contains(top.out(), "report"));
  top.kill(SIGTERM);
  CHECK(top.wait() == 0);
  CHECK(top.out().ends_with("\x1b[?1049l"));
}

TEST_CASE("top without a terminal, on a dumb one, with --once and with --json writes once, without control sequences") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "x");
  const Outcome piped = oncectl({"top"});
  CHECK(piped.status == 0);
  CHECK(contains(piped.out, "nothing is being computed"));
  CHECK_FALSE(contains(piped.out, "\x1b"));
  const nlohmann::json line = parsed(oncectl({"top", "--json"}).out);
  CHECK(line["computing"].empty());
  CHECK(line["functions"][0]["function"] == "f");
  CHECK(line["status"]["entries"] == 1);
  Command once(oncectl.words({"top", "--once"}), on_terminal());
  CHECK(once.wait() == 0);
  CHECK_FALSE(contains(once.out(), "\x1b"));
  Command dumb(oncectl.words({"top"}), {.environment = {{"TERM", "dumb"}}, .terminal = true});
  CHECK(dumb.wait() == 0);
  CHECK_FALSE(contains(dumb.out(), "\x1b"));
  CHECK(oncectl({"top", "--interval", "0s"}).status == 2);
  Command again(oncectl.words({"top", "--json", "--interval", "100ms"}));
  wait_until([&] {
    const std::string lines = again.out();
    return std::count(lines.begin(), lines.end(), '\n') >= 3;
  }, "three lines");
}

TEST_CASE("on terminals of 80, 100 and 132 columns long names can be told apart, and off one nothing is cut") {
  const Oncectl oncectl({"--set", "functions.platform.max_concurrent=2"});
  const std::string prefix = "analytics_platform.reports.monthly.";
  const std::vector<std::string> names{"revenue_by_region", "customer_value_estimates", "inventory_turnover"};
  for (const std::string& name : names) {
    for (const char* year : {"2025", "2026"}) oncectl.put(prefix + name, "[\"north\", " + std::string(year) + "]", "value");
    CHECK(oncectl({"get", prefix + name, "[\"north\", 2025]"}).status == 0);
  }
  oncectl.put("platform", "[]", "x");  // whose limit adds the column RUNNING
  const auto lines_on = [&](std::vector<std::string> words, unsigned short columns) {
    CommandOptions options = on_terminal();
    options.columns = columns;
    Command command(oncectl.words(std::move(words)), options);
    CHECK(command.wait() == 0);
    std::vector<std::string> lines;
    std::istringstream in(command.out());
    for (std::string line; std::getline(in, line);) lines.push_back(line.substr(0, line.find('\r')));
    return lines;
  };
  const auto has = [](const std::vector<std::string>& lines, const std::string& part) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return contains(line, part); });
  };
  for (const unsigned short columns : std::initializer_list<unsigned short>{80, 100, 132}) {
    for (const auto& words : {std::vector<std::string>{"ls"}, {"top", "--once"}, {"stats"}}) {
      CAPTURE(columns);
      CAPTURE(words.front());
      const auto lines = lines_on(words, columns);
      // A note on standard error may be longer, the terminal breaks it.
      for (const std::string& line : lines) CHECK((line.size() <= columns || line.starts_with("oncectl: ")));
      for (const std::string& name : names) CHECK(has(lines, name.substr(name.size() - 10)));
      if (words.front() == "ls") CHECK(has(lines, "(\"north\", 2026)"));
      if (words.front() == "top") CHECK(has(lines, "100.0 %"));
      if (words.front() == "top") CHECK(has(lines, "0 of 2"));
      if (words.front() == "stats") {
        for (const char* title : {"computations_avoided", "duplicates_avoided", "seconds_saved", "max_concurrent"}) CHECK(has(lines, title));
      }
    }
  }
  for (const auto& words : {std::vector<std::string>{"ls"}, {"top", "--once"}, {"stats"}}) {
    const std::string out = oncectl(words).out;
    for (const std::string& name : names) CHECK(contains(out, prefix + name));
    CHECK_FALSE(contains(out, "..."));
  }
}

TEST_CASE("top says for how long a value is being refreshed that is there meanwhile") {
  const Oncectl oncectl;
  Client client = oncectl.client();
  oncectl.put("f", "[]", "old");
  ComputeOptions options;
  options.force = true;
  const auto lease = client.acquire(*KeyBuilder("f").build(), options);
  REQUIRE(lease.ok());
  wait_until([&] {  // a millisecond may have to pass
    const auto top = parsed(oncectl({"top", "--json"}).out);
    return top["computing"][0]["refresh"] == true && top["computing"][0]["seconds"].is_number();
  }, "the time of the refresh");
  CHECK(contains(oncectl({"top"}).out, "f()  (refresh)"));
  CHECK(parsed(oncectl({"ls", "--json"}).out)["under_way_ms"].is_number_unsigned());
}

TEST_CASE("top waits for a daemon that is away, with what it knew in sight") {
  Oncectl oncectl;
  oncectl.put("f", "[]", "x");
  Command top(oncectl.words({"top", "--interval", "100ms"}), on_terminal());
  wait_until([&] { return contains(top.out(), "CALLS"); }, "the first view");
  oncectl.daemon.kill(SIGKILL);
  oncectl.daemon.wait();
  wait_until([&] { return contains(top.out(), "the daemon is away, waiting for it"); }, "the outage to be seen");
  oncectl.daemon.start();
  const std::size_t before = top.out().size();
  wait_until([&] { return top.out().find("onced 0.", before) != std::string::npos; }, "the daemon to be seen again");
  top.type("q");
  CHECK(top.wait() == 0);
}

}  // namespace onced::testing
