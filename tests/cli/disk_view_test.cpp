#include "disk_view.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "doctor_checks.hpp"
#include "support/contains.hpp"

namespace onced::cli {
namespace {

using testing::contains;

protocol::Report report(protocol::Report more = {}) {
  protocol::Report all{{"path", std::string("/var/lib/onced/default")}, {"values", std::uint64_t{1234}}, {"live_bytes", std::uint64_t{3} << 20},
                       {"used_bytes", std::uint64_t{5} << 20}, {"budget_bytes", std::uint64_t{10} << 20}, {"segments", std::uint64_t{1}},
                       {"queued_bytes", std::uint64_t{2048}}, {"evicted", std::uint64_t{0}}};
  all.insert(all.begin(), more.begin(), more.end());  // the first of a name counts
  return all;
}

protocol::Report status(std::uint64_t degraded, std::uint64_t damaged) {
  return {{"disk_values", std::uint64_t{2}}, {"disk_bytes", std::uint64_t{1} << 20}, {"disk_bytes_max", std::uint64_t{4} << 20},
          {"disk_degraded", degraded}, {"disk_damaged", damaged}};
}

}  // namespace

TEST_CASE("the screen says where, how full and whether it works") {
  const Output output;
  const std::string well = disk_screen(report(), output);
  CHECK(well.starts_with("/var/lib/onced/default\n"));
  CHECK(contains(well, "state          well\n"));
  CHECK(contains(well, "used           5.0 MiB of 10 MiB (50.0 %)\n"));
  CHECK(contains(well, "values         1,234, 3.0 MiB in 1 segment\n"));
  CHECK(contains(well, "sessions       0\n"));
  CHECK(contains(disk_screen(report({{"sessions", std::uint64_t{1200}}}), output), "sessions       1,200, which go on after a restart\n"));
  CHECK(contains(well, "to be written  2.0 KiB\n"));
  CHECK(contains(well, "left out       0 values since the start\n"));
  CHECK_FALSE(contains(well, "older format"));
  CHECK(contains(disk_screen(report({{"older_bytes", std::uint64_t{2} << 20}}), output),
                 "\nolder format   2.0 MiB of it: goes by itself when its room is needed; to have that sooner, remove\n"
                 "               /var/lib/onced/default/aside/format-* (seen at the next start)\n"));
  CHECK_FALSE(contains(well, "\nlast"));
  CHECK_FALSE(contains(well, "\nnow"));
  const std::string bad = disk_screen(report({{"degraded", std::uint64_t{1}}, {"degraded_why", std::string("cannot sync\x1b log/00000001.log")},
                                              {"damaged", std::uint64_t{2}}, {"aside_bytes", std::uint64_t{1024}}}), output);
  CHECK(contains(bad, "degraded: cannot sync\\x1b log/00000001.log\n"));
  CHECK(contains(bad, "damaged        2 values since the start, 1.0 KiB set aside\n"));
}

TEST_CASE("why a value is not durable is said as far as the status tells") {
  CHECK(not_durable_text(protocol::Report{{"values", std::uint64_t{1}}}).ends_with("not durable: its namespace keeps no values on disk"));
  CHECK(contains(not_durable_text(status(1, 0)), "not durable: the disk fails; see"));
  CHECK(contains(not_durable_text(status(0, 0)), "not durable: it is too large for the disk, or that has failed for a moment"));
  CHECK(contains(not_durable_text(Error{ErrorCode::unavailable, "away"}), "keeps no values on disk, it is too large for that, or the disk fails"));
}

TEST_CASE("a task is told as far as it is: verify in bytes, compact in segments") {
  const auto verify = report({{"task", std::string("verify")}, {"task_done", std::uint64_t{1} << 20}, {"task_all", std::uint64_t{4} << 20}});
  CHECK(task_text(verify) == "verify: 1.0 MiB of 4.0 MiB");
  CHECK(task_fraction(verify) == doctest::Approx(0.25));
  CHECK(contains(disk_screen(verify, Output()), "now            verify: 1.0 MiB of 4.0 MiB\n"));
  CHECK(task_text(report({{"task", std::string("compact")}, {"task_done", std::uint64_t{1}}, {"task_all", std::uint64_t{12}}})) == "compact: 1 of 12 segments");
  const auto begun = report({{"task", std::string("verify")}, {"task_all", std::uint64_t{0}}});
  CHECK(std::isnan(task_fraction(begun)));
  CHECK(task_text(begun) == "verify: just begun");
}

TEST_CASE("the end of a task is that task's, and tells of damage") {
  const auto ended = [](std::uint64_t damaged, std::uint64_t stopped) {
    return report({{"task", std::string()}, {"last_task", std::string("verify")}, {"last_task_result", std::string("as the daemon says it")},
                   {"last_task_failed", std::uint64_t{0}}, {"verified_values", std::uint64_t{3}}, {"verified_bytes", std::uint64_t{2048}},
                   {"verified_damaged", damaged}, {"verified_stopped", stopped}});
  };
  const TaskEnd well = end_of_task(ended(0, 0), "verify");
  CHECK(well.known);
  CHECK_FALSE(well.stopped);
  CHECK(well.damaged == 0);
  CHECK(well.text == "verified 3 values of 2.0 KiB: none is damaged");
  CHECK(end_of_task(ended(1, 0), "verify").text == "verified 3 values of 2.0 KiB: 1 is damaged, and absent now");
  CHECK(end_of_task(ended(2, 1), "verify").text == "stopped after 3 values of 2.0 KiB: 2 are damaged, and absent now");
  CHECK(end_of_task(ended(2, 1), "verify").damaged == 2);
  CHECK(end_of_task(ended(2, 1), "verify").stopped);
  CHECK_FALSE(end_of_task(ended(0, 0), "compact").known);
  CHECK_FALSE(end_of_task(report({{"task", std::string("compact")}, {"last_task", std::string()}}), "verify").known);
  CHECK(end_of_task(report({{"last_task", std::string("compact")}, {"compacted_from_bytes", std::uint64_t{4} << 20}, {"compacted_to_bytes", std::uint64_t{1} << 20}}),
                    "compact").text == "compacted: 4.0 MiB before, 1.0 MiB after");
  const TaskEnd failed = end_of_task(report({{"last_task", std::string("verify")}, {"last_task_result", std::string("verify failed: EIO")},
                                             {"last_task_failed", std::uint64_t{1}}, {"verified_damaged", std::uint64_t{5}}}), "verify");
  CHECK(failed.failed);
  CHECK(failed.damaged == 0);  // of an earlier one
  CHECK(failed.text == "verify failed: EIO");
}

TEST_CASE("doctor fails a degraded disk, warns of damage, and says nothing of one that is not there") {
  using Level = Finding::Level;
  CHECK(check_disk({}).empty());
  const Findings well = check_disk(status(0, 0));
  REQUIRE(well.size() == 1);
  CHECK(well[0].level == Level::ok);
  CHECK(well[0].text == "1.0 MiB of 4.0 MiB (25.0 %), 2 values");
  auto with_older = status(0, 0);
  with_older.emplace_back("disk_older_bytes", std::uint64_t{3} << 20);
  const Findings older = check_disk(with_older);
  REQUIRE(older.size() == 2);
  CHECK(older[1].level == Level::warn);
  CHECK(contains(older[1].text, "3.0 MiB of it belong to a store of an older format"));
  CHECK(contains(older[1].remedy, "remove aside/format-*"));
  const Findings bad = check_disk(status(1, 3));
  REQUIRE(bad.size() == 2);
  CHECK(bad[0].level == Level::fail);
  CHECK(contains(bad[0].remedy, "oncectl disk"));
  CHECK(bad[1].level == Level::warn);
  CHECK(contains(bad[1].text, "3 values found damaged"));
}

}  // namespace onced::cli
