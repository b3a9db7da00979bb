// One computation, several results: whoever needs one of them reads that one, in place.
//
//   ONCED_SOCKET=... example_named_parts
#include <onced/client.hpp>
#include <onced/typed.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <span>
#include <string>

namespace {

constexpr std::size_t samples = 2'000'000;  // 16 MB of doubles

std::span<double> doubles(std::span<std::byte> bytes) { return {reinterpret_cast<double*>(bytes.data()), bytes.size() / sizeof(double)}; }
std::span<const double> doubles(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const double*>(bytes.data()), bytes.size() / sizeof(double)};
}

// Fills the parts where they will be read; all of them become visible at once when it returns.
onced::Result<void> measure(onced::Computation& computation) {
  auto signal = computation.reserve("signal", samples * sizeof(double), "application/x-f64");
  if (!signal) return signal.error();
  auto envelope = computation.reserve("envelope", samples * sizeof(double), "application/x-f64");
  if (!envelope) return envelope.error();
  double highest = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    const double decay = std::exp(-static_cast<double>(i) / samples);
    doubles(*envelope)[i] = decay;
    doubles(*signal)[i] = decay * std::sin(static_cast<double>(i) / 100);
    highest = std::max(highest, doubles(*signal)[i]);
  }
  return onced::add_object(computation.builder(), "summary", std::map<std::string, double>{{"samples", samples}, {"highest", highest}});
}

// What one worker shows needs one part, and maps no other.
int show(const char* part_name) {
  onced::Client client;
  const auto key = onced::KeyBuilder("measure", "v1").add("probe 7").build();
  const auto value = client.get_or_compute(*key, {}, measure);
  if (!value) {
    std::fprintf(stderr, "nothing measured: %s\n", value.error().text.c_str());
    return 1;
  }
  if (std::string(part_name) == "summary") {
    const auto summary = onced::object_of<std::map<std::string, double>>(*value, part_name);
    if (!summary || summary->at("samples") != samples || summary->at("highest") <= 0.9) return 1;
    std::printf("  process %d: %.0f samples, the highest %.3f\n", getpid(), summary->at("samples"), summary->at("highest"));
  } else {
    const auto part = value->part(part_name);
    if (!part || doubles(part->bytes).size() != samples) return 1;
    std::printf("  process %d: the %s ends with %.3f\n", getpid(), part_name, doubles(part->bytes).back());
  }
  std::fflush(stdout);
  return client.counters().computed == 1 ? 10 : 0;  // for the count below
}

}  // namespace

int main() {
  std::printf("three processes, one measurement, a part for each:\n");
  std::fflush(stdout);
  for (const char* part : {"signal", "envelope", "summary"}) {
    if (fork() == 0) _exit(show(part));
  }
  int computed = 0;
  for (int i = 0; i < 3; ++i) {
    int status = 0;
    wait(&status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) % 10 != 0) return 1;
    computed += WEXITSTATUS(status) / 10;
  }
  std::printf("computed %d time(s)\n", computed);
  return computed == 1 ? 0 : 1;
}
