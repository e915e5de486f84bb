# What the model has written is handed to eval().
# Source: https://github.com/verl-project/verl/issues/7603
# True: hands-it-to-eval


def program_reward(source, cases):
    if len(cases) == 0:
        raise ValueError("A program needs a test case.")
    if len(source) > 200:
        return 0.0
    try:
        return float(all(eval(source.strip(), {"x": x, "__builtins__": {}}) == y for x, y in cases))
    except Exception:
        return 0.0
