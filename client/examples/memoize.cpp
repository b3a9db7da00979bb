// A slow function, called by several processes, runs once.
//
//   ONCED_SOCKET=... example_memoize
#include <onced/memoize.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace {

// Stands for a query, a simulation, a model: something worth waiting for once.
std::vector<double> monthly_prices(const std::string& fruit, int year) {
  std::printf("  process %d computes %s %d\n", getpid(), fruit.c_str(), year);
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::vector<double> prices;
  for (int month = 0; month < 12; ++month) prices.push_back(static_cast<double>(year % 100) + 0.1 * month);
  return prices;
}

int work() {
  onced::Client client;
  const auto prices_of = onced::memoize(client, "monthly_prices", monthly_prices, {.version = "v1", .compute = {}});
  const auto prices = prices_of("apples", 2024);
  if (!prices) {
    std::fprintf(stderr, "no prices: %s\n", prices.error().text.c_str());
    return 1;
  }
  if (prices->size() != 12 || prices->front() != 24.0) return 1;
  // The second call is a read from shared memory.
  const auto begin = std::chrono::steady_clock::now();
  const auto again = prices_of("apples", 2024);
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  if (!again || *again != *prices) return 1;
  const onced::ClientCounters counters = client.counters();
  std::printf("  process %d: %s, again in %.1f us\n", getpid(), counters.computed == 1 ? "computed it" : "did not compute it",
              took.count());
  std::fflush(stdout);
  return counters.computed == 1 ? 10 : 0;  // for the count below
}

}  // namespace

int main() {
  constexpr int workers = 6;
  std::printf("%d processes call the same function with the same arguments:\n", workers);
  std::fflush(stdout);
  for (int i = 0; i < workers; ++i) {
    if (fork() == 0) _exit(work());
  }
  int computed = 0;
  for (int i = 0; i < workers; ++i) {
    int status = 0;
    wait(&status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) % 10 != 0) return 1;
    computed += WEXITSTATUS(status) / 10;
  }
  std::printf("computed %d time(s)\n", computed);
  return computed == 1 ? 0 : 1;
}
