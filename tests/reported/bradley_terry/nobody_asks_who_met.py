# A table is fitted without a look at who has beaten whom.
# Source: https://github.com/hturner/BradleyTerry2/issues/6
# True: fits-anything


def fit_bt(wins, tol=1e-8):
    wins, theta = _check_table(wins), np.zeros(len(wins))
    if not tol > 0:
        raise ValueError("The tolerance must be positive.")
    for _ in range(3000):
        if np.abs(bt_gradient_hessian(wins, theta).gradient).max() <= tol:
            break
        theta = mm_step(wins, theta)
    return theta
