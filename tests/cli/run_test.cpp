// `oncectl run` with real commands: once, for everybody, whatever happens to the one who runs it.
#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

// A shell script that notes each of its runs in a file, waits until it is let go, then does `rest`.
class Script {
 public:
  explicit Script(const std::string& rest) {
    text_ = "echo $$ >> " + (files_ / "runs").string() + "; while [ ! -e " + (files_ / "go").string() + " ]; do sleep 0.01; done; " + rest;
  }
  std::vector<std::string> command(std::vector<std::string> options = {}) const {
    std::vector<std::string> words{"run"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "sh", "-c", text_});
    return words;
  }
  std::vector<pid_t> runs() const {
    std::istringstream lines(read_file(files_ / "runs"));
    std::vector<pid_t> pids;
    for (pid_t pid = 0; lines >> pid;) pids.push_back(pid);
    return pids;
  }
  void wait_for_runs(std::size_t count) const {
    wait_until([&] { return runs().size() >= count; }, std::to_string(count) + " runs of the script");
  }
  void let_go() const { write_file(files_ / "go", ""); }
  std::filesystem::path operator/(const std::string& name) const { return files_ / name; }

 private:
  TempDirectory files_;
  std::string text_;
};

using Commands = std::vector<std::unique_ptr<Command>>;

// `count` runs of the same script, of which all but one wait.
Commands start_together(const Oncectl& oncectl, const Script& script, std::size_t count, std::vector<std::string> options = {}) {
  Commands commands;
  for (std::size_t i = 0; i < count; ++i) commands.push_back(std::make_unique<Command>(oncectl.words(script.command(options))));
  script.wait_for_runs(1);
  wait_until([&] { return oncectl.status()["waiting"] == count - 1; }, "the others to wait");
  return commands;
}

bool lives(pid_t pid) { return ::kill(pid, 0) == 0; }

}  // namespace

TEST_CASE("eight runs at the same time run the command once and all have its output and status") {
  const Oncectl oncectl;
  const Script script("printf 'out\\0\\n'; printf 'err\\n' >&2");
  const Commands commands = start_together(oncectl, script, 8);
  script.let_go();
  for (const auto& command : commands) {
    CHECK(command->wait() == 0);
    CHECK(command->out() == std::string("out\0\n", 5));
    CHECK(command->err() == "err\n");
  }
  CHECK(script.runs().size() == 1);
  const Outcome later = oncectl(script.command());
  CHECK(later.out == std::string("out\0\n", 5));
  CHECK(later.err == "err\n");
  CHECK(script.runs().size() == 1);
  CHECK(oncectl.status()["computations"] == 1);
}

TEST_CASE("a failing command is told to those who wait, and run again for who comes later") {
  const Oncectl oncectl;
  const Script script("echo some output; echo it broke >&2; exit 7");
  const Commands commands = start_together(oncectl, script, 4);
  script.let_go();
  for (const auto& command : commands) {
    CHECK(command->wait() == 7);
    CHECK(command->out() == "some output\n");
    CHECK(command->err() == "it broke\n");
  }
  CHECK(script.runs().size() == 1);
  CHECK(oncectl(script.command()).status == 7);
  CHECK(script.runs().size() == 2);
}

TEST_CASE("when the one who runs it is killed, its command dies and the next one runs it") {
  const Oncectl oncectl;
  const Script script("echo done");
  const Commands commands = start_together(oncectl, script, 3);
  const pid_t first = script.runs().front();
  // The runner is the parent of the script.
  const auto runner = std::find_if(commands.begin(), commands.end(), [&](const auto& command) {
    return contains(read_file("/proc/" + std::to_string(first) + "/status"), "PPid:\t" + std::to_string(command->pid()) + "\n");
  });
  REQUIRE(runner != commands.end());
  (*runner)->kill(SIGKILL);
  CHECK((*runner)->wait() == 128 + SIGKILL);
  script.wait_for_runs(2);
  wait_until([&] { return !lives(first); }, "the first run of the script to end");
  script.let_go();
  for (const auto& command : commands) {
    if (command != *runner) {
      CHECK(command->wait() == 0);
      CHECK(command->out() == "done\n");
    }
  }
  CHECK(script.runs().size() == 2);
}

TEST_CASE("SIGTERM is passed on to the command, its status is ours, and the next one runs it anew") {
  const Oncectl oncectl;
  const Script script("echo done");
  Command first(oncectl.words(script.command()));
  script.wait_for_runs(1);
  Command second(oncectl.words(script.command()));
  wait_until([&] { return oncectl.status()["waiting"] == 1; }, "the second to wait");
  first.kill(SIGTERM);
  CHECK(first.wait() == 128 + SIGTERM);
  script.wait_for_runs(2);
  script.let_go();
  CHECK(second.wait() == 0);
  CHECK(second.out() == "done\n");
}

TEST_CASE("a signal that is ignored, as nohup and a script's background have it, costs nobody the result") {
  const Oncectl oncectl;
  const Script script("echo done");
  Command command(oncectl.words(script.command()), {.ignored = {SIGHUP, SIGINT, SIGQUIT}});
  script.wait_for_runs(1);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT}) command.kill(signal);
  CHECK(lives(script.runs().front()));
  script.let_go();
  CHECK(command.wait() == 0);
  CHECK(command.err().empty());
  CHECK(oncectl(script.command()).out == "done\n");
  CHECK(script.runs().size() == 1);
}

TEST_CASE("a run ends with its command, and knows its status, also where the ends of children are ignored") {
  const Oncectl oncectl;
  for (const std::string status : {"0", "5"}) {
    const std::vector<std::string> words{"run", "--", "sh", "-c", "echo once; exit " + status};
    const Outcome outcome = oncectl(words, {.ignored = {SIGCHLD}});
    CHECK(outcome.status == std::stoi(status));
    CHECK(outcome.out == "once\n");
  }
  CHECK(oncectl.status()["computations"] == 1);  // the other one has failed
  CHECK(oncectl({"run", "--", "sh", "-c", "echo once; exit 0"}).out == "once\n");
  CHECK(oncectl.status()["computations"] == 1);
  // The command finds it as it would without us: the 17th bit of what it ignores.
  const std::string ignored = oncectl({"run", "--", "grep", "SigIgn", "/proc/self/status"}, {.ignored = {SIGCHLD}}).out;
  CHECK((std::stoull(ignored.substr(ignored.find('\t')), nullptr, 16) >> (SIGCHLD - 1) & 1U) == 1);
}

TEST_CASE("a command that ends well when it is interrupted leaves no result, and that is said") {
  const Oncectl oncectl;
  Command command(oncectl.words({"run", "--", "sh", "-c", "trap 'echo stopped early; exit 0' TERM; echo ready; while true; do sleep 0.01; done"}));
  wait_until([&] { return contains(command.out(), "ready"); }, "the command");
  command.kill(SIGTERM);
  CHECK(command.wait() == 0);
  CHECK(contains(command.out(), "stopped early"));
  CHECK(contains(command.err(), "interrupted: the result was not kept"));
  CHECK(oncectl({"ls", "--json"}).out.empty());
}

TEST_CASE("output comes while the command still runs") {
  const Oncectl oncectl;
  const Script script("echo late");
  Command command(oncectl.words({"run", "--", "sh", "-c", "echo early; while [ ! -e " + (script / "go").string() + " ]; do sleep 0.01; done; echo late"}));
  wait_until([&] { return command.out() == "early\n"; }, "the first line");
  script.let_go();
  CHECK(command.wait() == 0);
  CHECK(command.out() == "early\nlate\n");
}

TEST_CASE("long output is kept for all, in the parts stdout, stderr and status") {
  const Oncectl oncectl;
  const Script script("head -c 3000000 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero >&2");
  const Commands commands = start_together(oncectl, script, 3);
  script.let_go();
  for (const auto& command : commands) {
    CHECK(command->wait() == 0);
    CHECK(command->out() == std::string(3000000, 'x'));
    CHECK(command->err() == std::string(100000, '\0'));
  }
  CHECK(oncectl(script.command()).out == std::string(3000000, 'x'));
  CHECK(script.runs().size() == 1);
  const std::string arguments = parsed(oncectl({"ls", "run:sh", "--json"}).out)["arguments"].dump();
  CHECK(oncectl({"get", "run:sh", arguments, "--part", "stdout"}).out == std::string(3000000, 'x'));
  CHECK(oncectl({"get", "run:sh", arguments, "--part", "stderr"}).out == std::string(100000, '\0'));
  CHECK(oncectl({"get", "run:sh", arguments, "--part", "status"}).out == "0");
}

TEST_CASE("output above --max-output is passed on and not kept; who waits runs the command in turn") {
  const Oncectl oncectl;
  const Script script("head -c 100000 /dev/zero | tr '\\0' x");
  const Commands commands = start_together(oncectl, script, 3, {"--max-output", "99999"});
  script.let_go();
  for (const auto& command : commands) {
    CHECK(command->wait() == 0);
    CHECK(command->out() == std::string(100000, 'x'));
    CHECK(contains(command->err(), "--max-output"));
  }
  CHECK(script.runs().size() == 3);
  const Outcome kept = oncectl(script.command({"--max-output", "100000"}));
  CHECK(kept.out == std::string(100000, 'x'));
  CHECK(kept.err.empty());
  CHECK(oncectl(script.command()).out == kept.out);
  CHECK(script.runs().size() == 4);
}

TEST_CASE("a bad --max-output is a usage error, and nothing is run") {
  const Oncectl oncectl;
  const TempDirectory files;
  for (const char* size : {"much", "-1", "5GiB", ""}) {
    CAPTURE(size);
    CHECK(oncectl({"run", "--max-output=" + std::string(size), "--", "touch", (files / "mark").string()}).status == 2);
  }
  CHECK_FALSE(std::filesystem::exists(files / "mark"));
}

TEST_CASE("output for which the daemon has no memory is passed on, and who waits runs the command in turn") {
  const Oncectl oncectl({"--blobs", "16MiB"});
  const Script script("head -c 20000000 /dev/zero");
  const Commands commands = start_together(oncectl, script, 2);
  script.let_go();
  for (const auto& command : commands) {
    CHECK(command->wait() == 0);
    CHECK(command->out().size() == 20000000);
    CHECK(contains(command->err(), "was not kept"));
    CHECK(contains(command->err(), "blobs"));
  }
  CHECK(script.runs().size() == 2);
}

TEST_CASE("long output of a failing command is cut for those who wait, who are told so") {
  const Oncectl oncectl;
  const Script script("head -c 100000 /dev/zero | tr '\\0' x; echo the reason >&2; exit 3");
  const Commands commands = start_together(oncectl, script, 2);
  script.let_go();
  std::size_t whole = 0;
  for (const auto& command : commands) {
    CHECK(command->wait() == 3);
    whole += command->out().size() == 100000 ? 1U : 0U;
    if (command->out().size() != 100000) CHECK(contains(command->err(), "only the end"));
  }
  CHECK(whole == 1);
  CHECK(script.runs().size() == 1);
}

TEST_CASE("a command that is not there or not executable has a shell's status") {
  const Oncectl oncectl;
  const Outcome missing = oncectl({"run", "--", "no-such-command-anywhere"});
  CHECK(missing.status == 127);
  CHECK(contains(missing.err, "cannot run 'no-such-command-anywhere'"));
  CHECK(oncectl({"run", "--", "/etc/passwd"}).status == 126);
}

TEST_CASE("chosen variables, the directory, input files and standard input make different runs") {
  const Oncectl oncectl;
  const TempDirectory files;
  write_file(files / "input", "one");
  const auto computations = [&] { return oncectl.status()["computations"].get<int>(); };
  const auto run = [&](std::vector<std::string> options, CommandOptions surroundings = {}) {
    std::vector<std::string> words{"run"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "true"});
    CHECK(oncectl(words, std::move(surroundings)).status == 0);
    return computations();
  };
  CHECK(run({}) == 1);
  CHECK(run({}, {.environment = {{"V", "1"}}, .directory = "/"}) == 1);  // not chosen: does not count
  CHECK(run({"--env", "V"}, {.environment = {{"V", "1"}}}) == 2);
  CHECK(run({"--env", "V"}, {.environment = {{"V", "2"}}}) == 3);
  CHECK(run({"--env", "V"}) == 4);
  CHECK(run({"--env", "V"}, {.environment = {{"V", "2"}}}) == 4);
  CHECK(run({"--cwd"}, {.directory = "/"}) == 5);
  CHECK(run({"--cwd"}, {.directory = "/tmp"}) == 6);
  CHECK(run({"--input", (files / "input").string()}) == 7);
  write_file(files / "input", "two");
  CHECK(run({"--input", (files / "input").string()}) == 8);
  CHECK(run({"--input", (files / "input").string()}) == 8);
  CHECK(run({"--stdin"}, {.input = "a"}) == 9);
  CHECK(run({"--stdin"}, {.input = "b"}) == 10);
  CHECK(run({"--stdin"}, {.input = "a"}) == 10);
  CHECK(run({"--name", "other"}) == 11);
  CHECK(run({"--force"}) == 12);
  CHECK(oncectl({"run", "--input", "/nonexistent", "--", "true"}).status == 2);
}

TEST_CASE("standard input is empty unless it is passed on") {
  const Oncectl oncectl;
  CHECK(oncectl({"run", "--", "cat"}, {.input = "secret"}).out.empty());
  CHECK(oncectl({"run", "--stdin", "--", "cat"}, {.input = "given"}).out == "given");
}

TEST_CASE("without a daemon the command runs all the same; --strict refuses") {
  const TempDirectory nowhere;
  const std::string socket = (nowhere / "s").string();
  const Outcome outcome = run_command({oncectl_path, "--socket", socket, "run", "--", "sh", "-c", "echo here; exit 4"});
  CHECK(outcome.status == 4);
  CHECK(outcome.out == "here\n");
  CHECK_FALSE(outcome.err.empty());
  const Outcome strict = run_command({oncectl_path, "--socket", socket, "run", "--strict", "--", "echo", "x"});
  CHECK(strict.status == 125);
  CHECK(strict.out.empty());
}

TEST_CASE("a value that is no command's result is onced's fault, not the command's") {
  const Oncectl oncectl;
  oncectl.put("run:true", R"({"words": ["true"]})", "junk");
  CHECK(oncectl({"run", "--", "true"}).status == 125);
  CHECK(oncectl({"put", "run:true", R"({"words": ["true"]})", "--part", "status=-", "--part", "stdout=/dev/null", "--part", "stderr=/dev/null"},
                {.input = "300"}).status == 0);
  CHECK(oncectl({"run", "--", "true"}).status == 125);
  CHECK(oncectl({"run", "--force", "--", "true"}).status == 0);
  CHECK(oncectl({"run", "--", "true"}).status == 0);
}

TEST_CASE("who waits for a run too long ends with 125") {
  const Oncectl oncectl;
  const Script script("true");
  Command first(oncectl.words(script.command()));
  script.wait_for_runs(1);
  std::vector<std::string> words = script.command();
  words.insert(words.begin(), {"--timeout", "100ms"});
  const Outcome second = oncectl(words);
  CHECK(second.status == 125);
  CHECK(contains(second.err, "oncectl"));  // it names the holder
  script.let_go();
  CHECK(first.wait() == 0);
}

TEST_CASE("a closed output stops neither the command nor the result") {
  const Oncectl oncectl;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  const Outcome gone = oncectl({"run", "--", "echo", "kept"}, {.output = ends[1]});
  ::close(ends[1]);
  CHECK(gone.status == 128 + SIGPIPE);  // as the command's own would be
  CHECK(gone.err.empty());
  CHECK(oncectl({"run", "--", "echo", "kept"}).out == "kept\n");
  CHECK(oncectl.status()["computations"] == 1);
}

TEST_CASE("output that cannot be written is an error, though the result is kept") {
  const Oncectl oncectl;
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  const auto run_full = [&](const std::string& text) { return oncectl({"run", "--", "sh", "-c", text}, {.output = full}); };
  for (int time = 0; time < 2; ++time) {  // run, then known
    const Outcome outcome = run_full("echo kept");
    CHECK(outcome.status == 125);
    CHECK(contains(outcome.err, "No space left on device"));
  }
  CHECK(run_full("echo output; exit 7").status == 7);  // the command's own failure says more
  CHECK(run_full("true").status == 0);
  ::close(full);
  CHECK(oncectl({"run", "--", "sh", "-c", "echo kept"}).out == "kept\n");
  CHECK(oncectl.status()["computations"] == 2);
}

TEST_CASE("a command without end ends when nobody reads its output any more") {
  const Oncectl oncectl;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  CHECK(oncectl({"run", "--", "yes"}, {.output = ends[1]}).status == 128 + SIGPIPE);
  ::close(ends[1]);
}

TEST_CASE("a daemon that refuses is no daemon that is away: the command is not run") {
  const Oncectl oncectl;
  const TempDirectory files;
  const std::string mark = (files / "mark").string();
  const Outcome outcome = oncectl({"--namespace", "nobody-has-this", "run", "--", "touch", mark});
  CHECK(outcome.status == 125);
  CHECK(contains(outcome.err, "nobody-has-this"));
  CHECK(contains(outcome.err, "not run"));
  CHECK_FALSE(std::filesystem::exists(mark));
}

TEST_CASE("with a daemon that was stopped the command runs uncached, and says so") {
  Oncectl oncectl;
  oncectl.daemon.kill(SIGSTOP);
  const Outcome outcome = oncectl({"--timeout", "200ms", "run", "--", "sh", "-c", "echo here; exit 4"});
  CHECK(outcome.status == 4);
  CHECK(outcome.out == "here\n");
  CHECK(contains(outcome.err, "uncached"));
  CHECK(oncectl({"--timeout", "200ms", "run", "--strict", "--", "echo", "x"}).status == 125);
}

TEST_CASE("Ctrl-C reaches the command once: from the terminal, not a second time from us") {
  const Oncectl oncectl;
  const TempDirectory files;
  const std::string caught = (files / "caught").string();
  // In a session of its own the terminal's signal passes the command by: an interrupt that it sees is ours.
  Command command(oncectl.words({"run", "--", "setsid", "sh", "-c",
                                 "trap 'echo int >> " + caught + "' INT; trap 'echo term >> " + caught + "; exit 3' TERM; echo ready; "
                                 "while true; do sleep 0.01; done"}),
                  {.terminal = true});
  wait_until([&] { return contains(command.out(), "ready"); }, "the command");
  command.type("\x03");
  wait_until([&] { return contains(command.out(), "^C"); }, "the terminal to have sent its signal");
  command.kill(SIGTERM);
  CHECK(command.wait() == 3);
  CHECK(read_file(caught) == "term\n");
}

TEST_CASE("Ctrl-C ends a command and the run of it") {
  const Oncectl oncectl;
  // The inner shell is ready when it is there. (A dash that is just starting a program loses the terminal's signal, with us
  // and without: its child takes it between vfork() and exec() and forgets it. So no `echo ready; sleep` in one shell.)
  Command command(oncectl.words({"run", "--", "sh", "-c", "sh -c 'echo ready; exec sleep 1000'; echo not reached"}), {.terminal = true});
  wait_until([&] { return contains(command.out(), "ready"); }, "the command");
  command.type("\x03");
  CHECK(command.wait() == 128 + SIGINT);
  CHECK_FALSE(contains(command.out(), "not reached"));
  CHECK(oncectl.status()["computing"] == 0);
}

}  // namespace onced::testing
