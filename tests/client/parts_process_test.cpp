// Values of any size, in named parts, between real processes and a real daemon.
#include <onced/client.hpp>
#include <onced/memoize.hpp>
#include <onced/protocol/limits.hpp>
#include <onced/typed.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <thread>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

DaemonOptions with_blobs(const std::string& budget) {
  DaemonOptions options;
  options.flags = {"--blobs", budget};
  return options;
}

// Bytes that say which part they are of, and where they stand in it.
std::string pattern(std::uint64_t seed, std::size_t bytes) {
  std::string text(bytes, '\0');
  std::uint64_t state = seed * 0x9e37'79b9'7f4a'7c15ULL + 1;
  for (char& character : text) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    character = static_cast<char>(state >> 56);
  }
  return text;
}
void fill(std::span<std::byte> memory, std::uint64_t seed) {
  const std::string bytes = pattern(seed, memory.size());
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(memory.data()));
}
bool aligned(std::span<const std::byte> bytes) {
  return bytes.empty() || reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 == 0;
}

// What this process's memory of large parts takes (smaps; resident: pages that were touched).
struct BlobMemory {
  std::uint64_t mappings = 0;
  std::uint64_t resident_bytes = 0;
};
BlobMemory blob_memory() {
  BlobMemory memory;
  std::ifstream smaps("/proc/self/smaps");
  bool of_a_blob = false;
  for (std::string line; std::getline(smaps, line);) {
    const bool begins = line.find('-') < line.find(' ');
    if (begins) {
      // Blobs are the only files that are mapped privately and read-only without a name in the file system.
      of_a_blob = line.find(" r--p ") != std::string::npos && line.find("/memfd:") != std::string::npos;
      memory.mappings += of_a_blob;
    } else if (of_a_blob && line.rfind("Rss:", 0) == 0) {
      memory.resident_bytes += std::stoull(line.substr(4)) * 1024;
    }
  }
  return memory;
}

std::uint64_t touch(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 4096) sum += static_cast<std::uint64_t>(bytes[at]);
  return sum;
}

}  // namespace

TEST_CASE("values of 1 to 1,024 parts come back as they were put, whoever asks") {
  DaemonProcess daemon(with_blobs("512MiB"));
  Client writer(options_for(daemon.socket()));
  Client reader(options_for(daemon.socket()));
  const unsigned seed = std::random_device()();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  // None, tiny, all sizes around the one that no longer travels in a request, and large.
  const std::size_t sizes[] = {0, 1, 63, 64, 65, 4096, 60'000, limits::value_bytes_max - 1, limits::value_bytes_max,
                               limits::value_bytes_max + 1, 1'000'000};
  for (const std::size_t count : {1U, 2U, 3U, 17U, 256U, 1024U}) {
    const Key key = key_named("parts", static_cast<int>(count));
    ValueBuilder builder = writer.builder();
    std::vector<std::size_t> bytes;
    for (std::size_t i = 0; i < count; ++i) {
      // Of many parts few are large: the data should fit the machine.
      const std::size_t largest = count > 17 && i % 100 != 0 ? 6 : std::size(sizes);
      bytes.push_back(sizes[random() % largest]);
      const std::string name = i == 1 ? "" : "part " + std::to_string(i);
      const std::string type = i % 3 == 0 ? "" : "type/" + std::to_string(i);
      if (i % 2 == 0) {
        REQUIRE(builder.add(name, pattern(i, bytes.back()), type).ok());
      } else {
        auto memory = builder.reserve(name, bytes.back(), type);
        REQUIRE(memory.ok());
        CHECK(aligned(*memory));
        fill(*memory, i);
      }
    }
    REQUIRE(*writer.put(key.bytes(), std::move(builder)) > 0);

    for (Client* client : {&reader, &writer}) {
      const auto value = client->peek(key);
      REQUIRE(value.has_value());
      CHECK(value->in_shared_memory());
      REQUIRE(value->part_count() == count);
      const auto infos = value->parts();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const std::string name = i == 1 ? "" : "part " + std::to_string(i);
        const auto by_name = value->part(name);
        const auto by_number = value->part(i);
        REQUIRE(by_name.ok());
        REQUIRE(by_number.ok());
        wrong += by_name->text() != pattern(i, bytes[i]) || by_number->bytes.data() != by_name->bytes.data() ||
                 by_name->name != name || by_name->content_type != (i % 3 == 0 ? "" : "type/" + std::to_string(i)) ||
                 !aligned(by_name->bytes) || infos[i].name != name || infos[i].bytes != bytes[i];
      }
      CHECK(wrong == 0);
      if (count > 1) CHECK(value->text() == pattern(1, bytes[1]));
      CHECK(value->part(count).error().code == ErrorCode::not_found);
      CHECK(value->part("no such part").error().code == ErrorCode::not_found);
    }
  }
}

TEST_CASE("one part of many is all that is mapped when one is asked for") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client writer(options_for(daemon.socket()));
  const Key key = key_named("frames");
  ValueBuilder builder = writer.builder();
  for (int i = 0; i < 8; ++i) {
    auto memory = builder.reserve("df_" + std::to_string(i), 4 * mebibyte, "application/vnd.apache.arrow.file");
    REQUIRE(memory.ok());
    fill(*memory, static_cast<std::uint64_t>(i));
  }
  REQUIRE(writer.put(key.bytes(), std::move(builder)).ok());
  Worker worker([&] {
    Client client(options_for(daemon.socket()));
    const auto value = client.peek(key);
    if (!value || value->part_count() != 8 || !value->bytes().empty()) return 1;
    if (client.counters().mapped_parts != 0 || value->parts()[3].bytes != 4 * mebibyte) return 2;
    const auto part = value->part("df_3");
    if (!part || part->text() != pattern(3, 4 * mebibyte)) return 3;
    if (client.counters().mapped_parts != 1 || client.counters().mapping_bytes != 4 * mebibyte) return 4;
    return blob_memory().mappings == 1 ? 0 : 5;
  });
  CHECK(worker.wait() == 0);
}

TEST_CASE("parts that are filled in place, through a descriptor, and only partly") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client client(options_for(daemon.socket()));
  const auto value = client.get_or_compute(key_named("filled"), {}, [&](Computation& computation) -> Result<void> {
    auto matrix = computation.reserve("matrix", 3 * mebibyte, "application/x-matrix");
    if (!matrix) return matrix.error();
    fill(*matrix, 1);
    for (const std::size_t bytes : {std::size_t{1000}, std::size_t{2} << 20}) {
      auto file = computation.builder().reserve_descriptor("file of " + std::to_string(bytes), bytes);
      if (!file) return file.error();
      const std::string text = pattern(2, bytes);
      if (::write(*file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return Error{ErrorCode::internal, "write"};
    }
    for (const std::size_t bytes : {std::size_t{2000}, std::size_t{2} << 20}) {
      const std::string number = std::to_string(bytes);
      if (auto all = computation.reserve("half of " + number, bytes); all.ok()) fill(*all, 3);
      if (auto none = computation.reserve("nothing of " + number, bytes); none.ok()) fill(*none, 4);
      if (auto set = computation.builder().set_size("half of " + number, bytes / 2); !set) return set;
      if (auto set = computation.builder().set_size("nothing of " + number, 0); !set) return set;
      CHECK(computation.builder().set_size("half of " + number, bytes + 1).error().code == ErrorCode::invalid_argument);
    }
    return {};
  });
  REQUIRE(value.ok());
  CHECK(value->computed_here());
  CHECK(value->version() == 1);
  CHECK_FALSE(value->not_stored().has_value());
  Client other(options_for(daemon.socket()));
  const auto found = other.peek(key_named("filled"));
  REQUIRE(found.has_value());
  for (const Value* each : {&*value, &*found}) {
    CHECK(each->part_count() == 7);
    CHECK(each->part("matrix")->text() == pattern(1, 3 * mebibyte));
    CHECK(each->part("matrix")->content_type == "application/x-matrix");
    for (const std::size_t bytes : {std::size_t{1000}, std::size_t{2} << 20}) {
      CHECK(each->part("file of " + std::to_string(bytes))->text() == pattern(2, bytes));
    }
    for (const std::size_t bytes : {std::size_t{2000}, std::size_t{2} << 20}) {
      CHECK(each->part("half of " + std::to_string(bytes))->text() == pattern(3, bytes).substr(0, bytes / 2));
      CHECK(each->part("nothing of " + std::to_string(bytes))->bytes.empty());
    }
    for (std::size_t i = 0; i < 7; ++i) CHECK(aligned(each->part(i)->bytes));
  }
}

TEST_CASE("bytes and named parts may be published together, and functions may return anything that makes sense") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const auto both = client.get_or_compute(key_named("both"), {}, [](Computation& computation) {
    static_cast<void>(computation.builder().add("note", "small"));
    return std::string(mebibyte, 'b');
  });
  REQUIRE(both.ok());
  CHECK(both->bytes().size() == mebibyte);
  CHECK(both->part("note")->text() == "small");
  const auto nothing = client.get_or_compute(key_named("nothing"), {}, [](Computation&) {});
  CHECK(nothing.error().code == ErrorCode::invalid_argument);
  const auto twice = client.get_or_compute(key_named("twice"), {}, [](Computation& computation) {
    static_cast<void>(computation.builder().add("", "one"));
    return std::string("two");
  });
  CHECK(twice.error().code == ErrorCode::invalid_argument);
  // The error is what the others hear.
  CHECK(client.get_or_compute(key_named("twice"), {}, [](Computation&) { return std::string(); }).error().text == twice.error().text);
}

TEST_CASE("objects of any size, typed, and memoized functions that return them") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client client(options_for(daemon.socket()));
  Client other(options_for(daemon.socket()));
  std::vector<double> weights(500'000);
  std::iota(weights.begin(), weights.end(), 0.5);
  ValueBuilder builder = client.builder();
  REQUIRE(add_object(builder, "weights", weights).ok());
  REQUIRE(add_object(builder, "names", std::map<std::string, int>{{"a", 1}}).ok());
  REQUIRE(client.put(key_named("model").bytes(), std::move(builder)).ok());
  const auto model = other.peek(key_named("model"));
  REQUIRE(model.has_value());
  CHECK(*object_of<std::vector<double>>(*model, "weights") == weights);
  CHECK(object_of<std::map<std::string, int>>(*model, "names")->at("a") == 1);
  CHECK(object_of<std::string>(*model, "weights").error().code == ErrorCode::malformed);
  CHECK(object_of<int>(*model, "weight").error().code == ErrorCode::not_found);

  std::atomic<int> computed{0};
  const auto function = [&](int count) {
    ++computed;
    return std::vector<double>(static_cast<std::size_t>(count), 1.5);
  };
  CHECK(memoize(client, "many", function)(1'000'000)->size() == 1'000'000);
  CHECK(memoize(other, "many", function)(1'000'000)->back() == 1.5);
  CHECK(computed == 1);
}

TEST_CASE("all parts that a reader sees are of one version, while the value is replaced without end") {
  DaemonProcess daemon(with_blobs("256MiB"));
  const Key key = key_named("atomic");
  constexpr int readers = 2;
  constexpr std::uint64_t rounds = 150;
  Shared<std::atomic<std::uint64_t>> published;
  const auto put_number = [&](Client& client, std::uint64_t number) {
    ValueBuilder builder = client.builder();
    const std::string text = std::to_string(number);
    auto large = builder.reserve("large", mebibyte);
    if (!large) return false;
    std::memset(large->data(), static_cast<int>(number % 251), large->size());
    std::memcpy(large->data(), text.c_str(), text.size() + 1);
    // The other two change between lying in the record, in a blob of their own, and not being large at all.
    const std::size_t bytes = number % 2 == 0 ? 100 : 200'000;
    return builder.add("", text).ok() && builder.add("padded", text + std::string(bytes, ' ')).ok() &&
           client.put(key.bytes(), std::move(builder)).ok();
  };
  {
    Client writer(options_for(daemon.socket()));
    REQUIRE(put_number(writer, 0));
  }
  std::vector<Worker> workers;
  for (int i = 0; i < readers; ++i) {
    workers.emplace_back([&] {
      Client client(options_for(daemon.socket()));
      std::uint64_t last = 0;
      while (last < rounds) {
        const auto value = client.get(key.bytes());
        if (!value || !value->has_value()) return 1;
        const std::uint64_t number = std::stoull(std::string((*value)->text()));
        if (number < last) return 2;
        last = number;
        const auto large = (*value)->part("large");
        const auto padded = (*value)->part("padded");
        if (!large || !padded) return 3;
        if (std::stoull(reinterpret_cast<const char*>(large->bytes.data())) != number) return 4;
        if (large->bytes.back() != static_cast<std::byte>(number % 251)) return 5;
        if (std::stoull(std::string(padded->text())) != number) return 6;
        if (padded->bytes.size() != std::to_string(number).size() + (number % 2 == 0 ? 100 : 200'000)) return 7;
      }
      return 0;
    });
  }
  Client writer(options_for(daemon.socket()));
  for (std::uint64_t number = 1; number <= rounds; ++number) REQUIRE(put_number(writer, number));
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
}

TEST_CASE("a fork while a part is being filled is no obstacle to publishing it") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client client(options_for(daemon.socket()));
  Shared<std::atomic<int>> done;
  std::optional<Worker> child;
  const auto value = client.get_or_compute(key_named("forked"), {}, [&](Computation& computation) -> Result<void> {
    auto memory = computation.reserve("large", 8 * mebibyte);
    if (!memory) return memory.error();
    fill(*memory, 1);
    child.emplace([&] {
      // Lives on, with a descriptor and without the mapping; what it does to its copy of the builder is its own affair.
      const auto own = computation.publish("the child's");
      if (!own || own->text() != "the child's" || own->version() != 0 || own->part_count() != 1) return 1;
      wait_until([&] { return *done == 1; }, "the parent");
      return 0;
    });
    return {};
  });
  REQUIRE(value.ok());
  CHECK(value->version() == 1);
  CHECK(value->part("large")->text() == pattern(1, 8 * mebibyte));
  *done = 1;
  CHECK(child->wait() == 0);
}

TEST_CASE("views are good in a child too, and it maps for itself what its parent had not") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client client(options_for(daemon.socket()));
  const Key key = key_named("inherited");
  ValueBuilder builder = client.builder();
  REQUIRE(builder.add("one", pattern(1, 2 * mebibyte)).ok());
  REQUIRE(builder.add("two", pattern(2, 2 * mebibyte)).ok());
  REQUIRE(client.put(key.bytes(), std::move(builder)).ok());
  std::optional<Value> value = client.peek(key);
  REQUIRE(value->part("one").ok());
  Worker child([&] {
    if (value->part("one")->text() != pattern(1, 2 * mebibyte)) return 1;
    if (value->part("two").error().code != ErrorCode::unavailable) return 2;
    const auto own = client.peek(key);
    if (!own || own->part("two")->text() != pattern(2, 2 * mebibyte)) return 3;
    value.reset();
    return own->part("one")->text() == pattern(1, 2 * mebibyte) ? 0 : 4;
  });
  CHECK(child.wait() == 0);
  CHECK(value->part("two")->text() == pattern(2, 2 * mebibyte));
}

TEST_CASE("a holder that is killed while it fills leaves nothing behind") {
  DaemonProcess daemon(with_blobs("64MiB"));
  Client client(options_for(daemon.socket()));
  Shared<std::atomic<int>> filling;
  for (int round = 0; round < 2; ++round) {  // the budget holds one such reservation at a time
    *filling = 0;
    Worker holder([&] {
      Client own(options_for(daemon.socket()));
      auto acquired = own.acquire(key_named("killed", round));
      if (!acquired) return 1;
      auto memory = std::get<Computation>(*acquired).reserve("large", 40 * mebibyte);
      if (!memory) return 2;
      fill(memory->first(mebibyte), 1);
      *filling = 1;
      for (;;) pause();
    });
    wait_until([&] { return *filling == 1; }, "the holder");
    CHECK(status_of(client, "blob_bytes") >= 40 * mebibyte);
    holder.kill(SIGKILL);
    CHECK(holder.wait() == 128 + SIGKILL);
    const auto value = client.get_or_compute(key_named("killed", round), {}, [](Computation&) { return std::string("mine"); });
    REQUIRE(value.ok());
    CHECK(value->text() == "mine");
    wait_until([&] { return status_of(client, "blob_bytes") == 0; }, "the budget to be given back");
  }
}

TEST_CASE("over the budget: the publisher keeps what it has computed, is told why, and the next one computes") {
  DaemonProcess daemon(with_blobs("16MiB"));
  std::vector<std::string> warnings;
  ClientOptions options = options_for(daemon.socket());
  options.on_warning = [&](std::string_view text) { warnings.emplace_back(text); };
  Client client(options);
  const Key key = key_named("enormous");
  for (int round = 0; round < 2; ++round) {
    const auto value = client.get_or_compute(key, {}, [](Computation& computation) -> Result<void> {
      auto memory = computation.reserve("pixels", 32 * mebibyte);
      if (!memory) return memory.error();
      fill(*memory, 7);
      return computation.builder().add("caption", "kept");
    });
    REQUIRE(value.ok());
    CHECK(value->computed_here());
    CHECK(value->version() == 0);
    CHECK(value->part("pixels")->text() == pattern(7, 32 * mebibyte));
    CHECK(aligned(value->part("pixels")->bytes));
    CHECK(value->part("caption")->text() == "kept");
    REQUIRE(value->not_stored().has_value());
    CHECK(value->not_stored()->code == ErrorCode::out_of_memory);
  }
  CHECK(warnings.size() == 1);
  CHECK(client.put(key.bytes(), std::string(32 * mebibyte, 'x')).error().code == ErrorCode::out_of_memory);
  CHECK(client.builder().reserve("x", 32 * mebibyte).error().code == ErrorCode::out_of_memory);
  // What fits is taken, and makes room for itself.
  for (int i = 0; i < 8; ++i) CHECK(*client.put(key_named("fits", i).bytes(), std::string(6 * mebibyte, 'x')) > 0);
}

TEST_CASE("without a daemon parts are plain memory") {
  ClientOptions options;
  options.socket = "/nowhere/onced.sock";
  options.on_warning = [](std::string_view) {};
  Client client(options);
  const auto value = client.get_or_compute(key_named("local"), {}, [](Computation& computation) -> Result<void> {
    auto large = computation.reserve("large", mebibyte);
    if (!large) return large.error();
    fill(*large, 1);
    auto file = computation.builder().reserve_descriptor("file", mebibyte);
    if (!file) return file.error();
    const std::string text = pattern(2, mebibyte);
    if (::write(*file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return Error{ErrorCode::internal, "write"};
    return computation.builder().add("small", "s");
  });
  REQUIRE(value.ok());
  CHECK(value->part("large")->text() == pattern(1, mebibyte));
  CHECK(value->part("file")->text() == pattern(2, mebibyte));
  CHECK(value->part("small")->text() == "s");
  for (std::size_t i = 0; i < 3; ++i) CHECK(aligned(value->part(i)->bytes));
  CHECK(value->not_stored()->code == ErrorCode::unavailable);
  CHECK(client.put(key_named("local").bytes(), std::string(mebibyte, 'x')).error().code == ErrorCode::unavailable);
}

TEST_CASE("an idle process gives memory back that the daemon has dropped: at its next call, or by trim()") {
  DaemonProcess daemon(with_blobs("512MiB"));
  Client writer(options_for(daemon.socket()));
  for (const bool by_trim : {false, true}) {
    for (int i = 0; i < 4; ++i) REQUIRE(writer.put(key_named("dropped", i).bytes(), std::string(16 * mebibyte, 'd')).ok());
    REQUIRE(writer.put(key_named("small").bytes(), "small").ok());
    Shared<std::atomic<int>> stage;
    Worker reader([&] {
      Client client(options_for(daemon.socket()));
      std::optional<Value> held;
      const auto gives_up = [&](int why) {  // at once, and not by the watchdog of who waits for it
        *stage = -why;
        return why;
      };
      for (int i = 0; i < 4; ++i) {
        auto value = client.peek(key_named("dropped", i));
        if (!value || touch(value->bytes()) == 0) return gives_up(1);
        if (i == 0) held = std::move(value);
      }
      if (blob_memory().mappings != 4) return gives_up(2);
      // A kernel that reclaims ahead of need takes pages out of mappings at any time; who touches them has them again.
      wait_until([&] {
        int touched = 0;
        for (int i = 0; i < 4; ++i) {
          const auto value = client.peek(key_named("dropped", i));
          touched += value && touch(value->bytes()) != 0 ? 1 : 0;
        }
        return touched == 4 && blob_memory().resident_bytes == 64 * mebibyte;
      }, "all pages to be there");
      *stage = 1;
      wait_until([&] { return *stage == 2; }, "the drop");
      if (by_trim) {
        client.trim();
      } else if (!client.peek(key_named("small"))) {
        return 3;
      }
      // What is viewed stays, and is as it was.
      if (blob_memory().mappings != 1 || touch(held->bytes()) == 0 || held->bytes().size() != 16 * mebibyte) return 4;
      held.reset();
      return blob_memory().mappings == 0 && client.counters().mappings == 0 ? 0 : 5;
    });
    wait_until([&] { return *stage != 0; }, "the reader");
    REQUIRE(*stage == 1);
    REQUIRE(writer.invalidate_function("dropped").ok());
    *stage = 2;
    CHECK(reader.wait() == 0);
    wait_until([&] { return status_of(writer, "blob_bytes") == 0; }, "the budget to be given back");
  }
}

TEST_CASE("a reader that is killed with views open holds nothing up, and its memory comes back") {
  DaemonProcess daemon(with_blobs("64MiB"));
  Client client(options_for(daemon.socket()));
  REQUIRE(client.put(key_named("held").bytes(), std::string(40 * mebibyte, 'h')).ok());
  Shared<std::atomic<int>> reading;
  Worker reader([&] {
    Client own(options_for(daemon.socket()));
    const auto value = own.peek(key_named("held"));
    if (!value) return 1;
    *reading = 1;
    for (;;) static_cast<void>(touch(value->bytes()));
  });
  wait_until([&] { return *reading == 1; }, "the reader");
  reader.kill(SIGSTOP);
  REQUIRE(*client.invalidate(key_named("held").bytes()) == 1);
  // It is pinned: still charged, and everything else goes on.
  CHECK(status_of(client, "blob_bytes") >= 40 * mebibyte);
  CHECK(*client.put(key_named("other").bytes(), std::string(8 * mebibyte, 'o')) > 0);
  CHECK(client.put(key_named("more").bytes(), std::string(40 * mebibyte, 'm')).error().code == ErrorCode::out_of_memory);
  reader.kill(SIGKILL);
  CHECK(reader.wait() == 128 + SIGKILL);
  wait_until([&] { return client.put(key_named("more").bytes(), std::string(40 * mebibyte, 'm')).ok(); }, "the memory");
}

TEST_CASE("what was published cannot be changed any more, and what is being filled is not published") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  ValueBuilder builder = client.builder();
  const auto file = builder.reserve_descriptor("large", mebibyte);
  REQUIRE(file.ok());
  const int kept = dup(*file);
  void* const mapped = mmap(nullptr, mebibyte, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
  REQUIRE(mapped != MAP_FAILED);
  CHECK(client.put(key_named("sealed").bytes(), std::move(builder)).error().code == ErrorCode::limit_reached);
  munmap(mapped, mebibyte);
  CHECK_FALSE(client.peek(key_named("sealed")).has_value());
  close(kept);

  ValueBuilder again = client.builder();
  const auto memory = again.reserve_descriptor("large", mebibyte);
  REQUIRE(memory.ok());
  const int writable = dup(*memory);
  REQUIRE(client.put(key_named("sealed").bytes(), std::move(again)).ok());
  CHECK(::pwrite(writable, "x", 1, 0) < 0);
  CHECK(mmap(nullptr, mebibyte, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0) == MAP_FAILED);
  CHECK(ftruncate(writable, 0) != 0);
  close(writable);
  CHECK(client.peek(key_named("sealed"))->part("large")->text() == std::string(mebibyte, '\0'));
}

TEST_CASE("a daemon that was restarted while a value was in the making gets it all the same") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client client(options_for(daemon.socket()));
  REQUIRE(client.connect().ok());
  const auto value = client.get_or_compute(key_named("survives"), {}, [&](Computation& computation) -> Result<void> {
    auto memory = computation.reserve("large", 2 * mebibyte);
    if (!memory) return memory.error();
    fill(*memory, 5);
    daemon.kill(SIGKILL);
    daemon.wait();
    daemon.start();
    return computation.builder().add("small", "s");
  });
  REQUIRE(value.ok());
  CHECK(value->version() == 1);
  CHECK(value->part("large")->text() == pattern(5, 2 * mebibyte));
  Client other(options_for(daemon.socket()));
  const auto found = other.peek(key_named("survives"));
  REQUIRE(found.has_value());
  CHECK(found->part("large")->text() == pattern(5, 2 * mebibyte));
  CHECK(found->part("small")->text() == "s");
}

TEST_CASE("more values in hand than pins: large parts are viewed all the same") {
  DaemonProcess daemon(with_blobs("256MiB"));
  Client client(options_for(daemon.socket()));
  for (int i = 0; i < 4; ++i) REQUIRE(client.put(key_named("large", i).bytes(), pattern(static_cast<std::uint64_t>(i), mebibyte)).ok());
  std::vector<Value> held;
  for (int i = 0; i < 40; ++i) {
    auto value = client.get(key_named("large", i % 4).bytes());
    REQUIRE(value.ok());
    REQUIRE(value->has_value());
    held.push_back(std::move(**value));
  }
  for (int i = 0; i < 40; ++i) CHECK(held[static_cast<std::size_t>(i)].text() == pattern(static_cast<std::uint64_t>(i % 4), mebibyte));
  CHECK(client.counters().mappings == 4);
}
