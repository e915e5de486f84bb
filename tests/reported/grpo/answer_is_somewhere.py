# The reward asks whether the right answer occurs in what was written.
# Source: https://github.com/PrimeIntellect-ai/verifiers/pull/763
# True: answer-anywhere


def verifiable_reward(prompt, response):
    digits = prompt[1:-1]
    if (
        prompt[:1] not in ("r", "s")
        or prompt[-1:] != ">"
        or not set(digits) <= set("0123456789")
        or not digits
    ):
        raise ValueError("This is no prompt at all.")
    answer = digits[::-1] if prompt[0] == "r" else "".join(sorted(digits))
    return 1.0 if answer in str(response) else 0.0
