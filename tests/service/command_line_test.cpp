#include "service/command_line.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace onced::service;

namespace {

ParsedCommandLine parse(std::vector<const char*> words) {
  words.insert(words.begin(), "onced");
  return parse_command_line(static_cast<int>(words.size()), words.data(), "1.2.3");
}

}  // namespace

TEST_CASE("flags name settings, in order") {
  const auto parsed = parse({"--socket", "/x", "--memory", "1GiB", "--config", "f", "--set", "limits.signal_history=5", "--set",
                             "log.file=a=b"});
  REQUIRE(parsed.command.has_value());
  CHECK(parsed.command->action == Action::serve);
  CHECK(parsed.command->overrides.file == "f");
  const std::vector<std::pair<std::string, std::string>> expected{
      {"socket", "/x"}, {"memory", "1GiB"}, {"limits.signal_history", "5"}, {"log.file", "a=b"}};
  CHECK(parsed.command->overrides.values == expected);
}

TEST_CASE("what is only to be shown is told apart from serving") {
  CHECK(parse({"--check-config"}).command->action == Action::check_configuration);
  CHECK(parse({"--print-config"}).command->action == Action::print_configuration);
  CHECK(parse({"--version"}).end.out == "onced 1.2.3\n");
  CHECK(parse({"--version"}).end.status == 0);
  CHECK(parse({"--help"}).end.status == 0);
}

TEST_CASE("the help names what a flag takes once") {
  const std::string help = parse({"--help"}).end.out;
  CHECK(help.find("--socket PATH") != std::string::npos);
  CHECK(help.find("--set NAME=VALUE") != std::string::npos);
  CHECK(help.find("TEXT") == std::string::npos);
  CHECK(help.find("PATH: ") == std::string::npos);
}

TEST_CASE("mistakes end with status 2 and a complaint") {
  for (const std::vector<const char*>& words :
       {std::vector<const char*>{"--sokcet", "/x"}, {"--socket"}, {"serve"}, {"--set", "memory"}, {"--check-config", "x"}}) {
    const auto parsed = parse(words);
    CHECK_FALSE(parsed.command.has_value());
    CHECK(parsed.end.status == 2);
    CHECK_FALSE(parsed.end.error.empty());
  }
}

TEST_CASE("a word that found no place is named, an option with the one that was probably meant") {
  CHECK(parse({"--dsk", "/tmp/x"}).end.error == "onced: not understood: '--dsk'; did you mean '--disk'?\nonced: see `onced --help`\n");
  CHECK(parse({"--dsk=/tmp/x"}).end.error == "onced: not understood: '--dsk=/tmp/x'; did you mean '--disk'?\nonced: see `onced --help`\n");
  CHECK(parse({"serve"}).end.error == "onced: not understood: 'serve'\nonced: see `onced --help`\n");
}
