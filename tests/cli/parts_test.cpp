// Values of any size, in named parts, through the command line: byte for byte, and visible where people look.
#include <doctest/doctest.h>

#include <string>

#include <onced/client.hpp>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

// Every byte value, and no two pages alike.
std::string binary(std::size_t bytes, unsigned seed = 1) {
  std::string made(bytes, '\0');
  std::uint32_t state = seed;
  for (char& byte : made) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return made;
}

// Files that tests put into values.
struct Files {
  Files() {
    write_file(directory / "large", large);
    write_file(directory / "small", small);
    write_file(directory / "none", "");
  }
  std::string operator[](const char* name) const { return (directory / name).string(); }

  const std::string large = binary(5'000'003);
  const std::string small = binary(1000, 2);
  TempDirectory directory;
};

Outcome put_parts(const Oncectl& oncectl, const Files& files) {
  return oncectl({"put", "f", "[1]", "--part", "large=" + files["large"], "--part", "small=" + files["small"], "--part",
                  "none=" + files["none"], "--part-type", "small=text/x-small", "--content-type", "text/x-all"});
}

}  // namespace

TEST_CASE("parts are put together and come back each for itself, byte for byte") {
  const Oncectl oncectl;
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  CHECK(oncectl({"get", "f", "[1]", "--part", "large"}).out == files.large);
  CHECK(oncectl({"get", "f", "[1]", "--part", "small"}).out == files.small);
  const Outcome none = oncectl({"get", "f", "[1]", "--part", "none"});
  CHECK(none.status == 0);
  CHECK(none.out.empty());
  const json parts = parsed(oncectl({"get", "f", "[1]", "--json"}).out)["parts"];
  CHECK(parts == parsed(R"([
      {"name": "large", "content_type": "text/x-all", "bytes": 5000003, "where": "blob"},
      {"name": "small", "content_type": "text/x-small", "bytes": 1000, "where": "memory"},
      {"name": "none", "content_type": "text/x-all", "bytes": 0, "where": "memory"}])"));
}

TEST_CASE("a value of named parts only asks which one; a part that is not there is a miss; both are told the names") {
  const Oncectl oncectl;
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  const Outcome which = oncectl({"get", "f", "[1]"});
  CHECK(which.status == 2);
  CHECK(which.out.empty());
  CHECK(contains(which.err, "'large', 'small', 'none'"));
  CHECK(contains(which.err, "--part"));
  for (const auto& words : {std::vector<std::string>{"get", "f", "[1]", "--part", "lrage"}, {"get", "f", "[1]", "--part", "lrage", "--json"}}) {
    const Outcome missing = oncectl(words);
    CHECK(missing.status == 1);
    CHECK(missing.out.empty());
    CHECK(contains(missing.err, "'large', 'small', 'none'"));
  }
  CHECK(oncectl({"get", "f", "[2]", "--part", "large"}).status == 1);
  oncectl.put("plain", "[]", "x");
  CHECK(oncectl({"get", "plain", "--part", ""}).out == "x");
  CHECK(oncectl({"get", "plain", "--part", "large"}).status == 1);
}

TEST_CASE("to ask for a part that is not there is no hit") {
  const Oncectl oncectl;
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  CHECK(oncectl({"get", "f", "[1]", "--part", "small"}).status == 0);
  const auto hits = [&] { return oncectl.status()["hits"].get<int>(); };
  const int before = hits();
  CHECK(before == 1);
  for (int i = 0; i < 3; ++i) CHECK(oncectl({"get", "f", "[1]", "--part", "lrage"}).status == 1);
  CHECK(oncectl({"get", "f", "[1]", "--part", ""}).status == 1);
  CHECK(hits() == before);
  CHECK(oncectl({"get", "f", "[1]", "--part", "none"}).status == 0);
  CHECK(hits() == before + 1);
  oncectl.put("plain", "[]", "x");
  CHECK(contains(oncectl({"get", "plain", "--part", "large"}).err, "it is one part without a name: leave --part away"));
  CHECK(contains(oncectl({"get", "f", "[1]", "--part", ""}).err, "this value has no part without a name; it has 'large', "));
}

TEST_CASE("one part may have no name, and is the one that get means") {
  const Oncectl oncectl;
  const Files files;
  CHECK(oncectl({"put", "f", "--file", files["large"], "--part", "small=" + files["small"]}).status == 0);
  CHECK(oncectl({"get", "f"}).out == files.large);
  CHECK(oncectl({"get", "f", "--part", "small"}).out == files.small);
}

TEST_CASE("a value without --part is of any size too, from a file, a redirected file and a pipe") {
  const Oncectl oncectl;
  const Files files;
  CHECK(oncectl({"put", "f", "[1]", "--file", files["large"]}).status == 0);
  CHECK(oncectl({"put", "f", "[2]"}, {.input = files.large}).status == 0);
  const auto piped = [&](const std::string& words) {
    return run_command({"sh", "-c", "cat \"$1\" | \"$2\" --socket \"$3\" " + words, "sh", files["large"], oncectl_path, oncectl.daemon.socket()}).status;
  };
  CHECK(piped("put f '[3]'") == 0);
  CHECK(piped("put f '[4]' --part it=-") == 0);
  for (const char* arguments : {"[1]", "[2]", "[3]"}) CHECK(oncectl({"get", "f", arguments}).out == files.large);
  CHECK(oncectl({"get", "f", "[4]", "--part", "it"}).out == files.large);
  CHECK(oncectl({"put", "f", "[5]", "--file", "/proc/self/status"}).status == 0);  // its size is said to be 0
  CHECK(contains(oncectl({"get", "f", "[5]"}).out, "oncectl"));
}

TEST_CASE("what is wrong with one part leaves the old value, and nothing reserved") {
  const Oncectl oncectl;
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  const json before = oncectl.status();
  CHECK(oncectl({"put", "f", "[1]", "--part", "a=" + files["large"], "--part", "b=/nonexistent"}).status == 2);
  CHECK(oncectl({"put", "f", "[1]", "--part", "a=" + files["large"], "--part", "a=" + files["small"]}).status == 2);
  CHECK(oncectl({"put", "f", "[1]", "--part", "a=-", "--part", "b=-"}).status == 2);
  CHECK(oncectl({"put", "f", "[1]", "--part", files["large"]}).status == 2);
  CHECK(oncectl({"put", "f", "[1]", "--part", "a=" + files["large"], "--part-type", "b=x/y"}).status == 2);
  wait_until([&] { return oncectl.status()["blobs"] == before["blobs"]; }, "nothing stays of what was refused");
  CHECK(oncectl.status()["blob_bytes"] == before["blob_bytes"]);
  CHECK(oncectl({"get", "f", "[1]", "--part", "large"}).out == files.large);
}

TEST_CASE("a value above the daemon's budget is refused with the setting's name, and nothing of it stays") {
  const Oncectl oncectl({"--blobs", "16MiB"});
  const TempDirectory files;
  write_file(files / "huge", std::string(20'000'000, 'x'));
  const Outcome outcome = oncectl({"put", "f", "--file", (files / "huge").string()});
  CHECK(outcome.status == 125);
  CHECK(contains(outcome.err, "blobs"));
  CHECK(oncectl({"get", "f"}).status == 1);
  wait_until([&] { return oncectl.status()["blob_bytes"] == 0; }, "its memory is given back");
}

TEST_CASE("wait prints the part that is asked for") {
  const Oncectl oncectl;
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  CHECK(oncectl({"wait", "f", "[1]"}).status == 0);
  CHECK(oncectl({"wait", "f", "[1]", "--part", "small"}).out == files.small);
  const Outcome which = oncectl({"wait", "f", "[1]", "--print"});
  CHECK(which.status == 2);
  CHECK(contains(which.err, "'small'"));
  const json line = parsed(oncectl({"wait", "f", "[1]", "--json"}).out);
  CHECK(line["bytes"] == 5'001'003);
  CHECK(line["parts"].size() == 3);
}

TEST_CASE("explain says of a value for which there was no memory that it was refused, to whom, when and why") {
  const Oncectl oncectl({"--set", "blobs=4MiB"});
  const Files files;
  const Outcome refused = oncectl({"put", "f", "[1]", "--part", "large=" + files["large"]});
  CHECK(refused.status != 0);
  CHECK(contains(refused.err, "no room for a blob of 4.8 MiB"));
  const Outcome explained = oncectl({"explain", "f", "[1]"});
  CAPTURE(explained.out);
  CHECK(explained.status == 1);
  CHECK(contains(explained.out, "not kept "));
  CHECK(contains(explained.out, " ago: memory for it was refused to pid "));
  CHECK(contains(explained.out, "no room for a blob of 4.8 MiB"));
  CHECK(contains(explained.out, "(the setting blobs)"));
  CHECK(contains(oncectl({"explain", "f", "[2]"}).out, "never computed"));

  oncectl.put("f", "[1]", "small");
  CHECK(oncectl({"put", "f", "[1]", "--part", "large=" + files["large"]}).status != 0);
  const std::string kept = oncectl({"explain", "f", "[1]"}).out;
  CHECK(contains(kept, "a newer value was not kept "));
  CHECK(contains(kept, "5 B"));
}

TEST_CASE("ls, explain and status show parts, sizes, where they are and who reads") {
  const Oncectl oncectl;
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  oncectl.put("plain", "[]", "hello");
  {
    ClientOptions options;
    options.socket = oncectl.daemon.socket();
    Client reader(options);
    const Key key = *KeyBuilder("f").add(1).build();
    REQUIRE(reader.connect().ok());
    const std::optional<Value> held = reader.peek(key);
    REQUIRE(held.has_value());
    const json row = parsed(oncectl({"ls", "f", "--json"}).out);
    CHECK(row["bytes"] == 5'001'003);
    CHECK(row["blob_bytes"] == 5'000'003);
    CHECK(row["part_count"] == 3);
    CHECK(row["readers"] == 1);
    const json explained = parsed(oncectl({"explain", "f", "[1]", "--json"}).out);
    CHECK(explained["readers"] == 1);
    REQUIRE(explained["parts"].size() == 3);
    CHECK(explained["parts"][0] == json{{"name", "large"}, {"content_type", "text/x-all"}, {"bytes", 5'000'003}, {"where", "blob"}});
    CHECK(explained["parts"][1]["where"] == "memory");
    CHECK(contains(oncectl({"explain", "f", "[1]"}).out, "readers hold it 1 time"));
  }
  // Not before its client has gone: each oncectl here is forked from this process, and a forked child may read on.
  wait_until([&] { return parsed(oncectl({"ls", "f", "--json"}).out)["readers"] == 0; }, "the reader's end");
  const std::string table = oncectl({"ls"}).out;
  CHECK(contains(table, "5001003      3  both "));  // off a terminal: bytes, and every column
  CHECK(contains(table, "      5      1  memory "));
  CHECK(contains(table, "READERS"));
  const std::string explained = oncectl({"explain", "f", "[1]"}).out;
  CHECK(contains(explained, "large  4.8 MiB  blob    text/x-all"));
  CHECK(contains(explained, "small   1000 B  memory  text/x-small"));
  const json status = oncectl.status();
  CHECK(status["blobs"] == 1);
  CHECK(status["blob_bytes"] >= 5'000'003);
  CHECK(contains(oncectl({"status"}).out, "large parts   4.8 MiB of "));
}

TEST_CASE("on a terminal ls says sizes for people and leaves out columns without news") {
  const Oncectl oncectl;
  const auto shown = [&] {
    Command command(oncectl.words({"ls"}), {.environment = {{"TERM", "dumb"}}, .terminal = true});
    CHECK(command.wait() == 0);
    return command.out();
  };
  oncectl.put("plain", "[]", std::string(2048, 'x'));
  CHECK(contains(shown(), "2.0 KiB"));
  for (const char* title : {"PARTS", "WHERE", "READERS", "LEFT", "WAITING"}) CHECK_FALSE(contains(shown(), title));
  const Files files;
  CHECK(put_parts(oncectl, files).status == 0);
  for (const char* title : {"PARTS", "WHERE"}) CHECK(contains(shown(), title));
  CHECK_FALSE(contains(shown(), "READERS"));
}

}  // namespace onced::testing
